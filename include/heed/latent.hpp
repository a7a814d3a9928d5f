#pragma once

/// \file
/// Multi-head latent attention: its weights, sizes, forward and backward.

#include <heed/latent/latent_attention.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_saved.hpp>
#include <heed/latent/latent_weights.hpp>
