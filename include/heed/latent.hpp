#pragma once

/// \file
/// Multi-head latent attention: its weights, sizes, forward and backward, and other attention as
/// one.

#include <heed/latent/converted_latent.hpp>
#include <heed/latent/grouped_weights.hpp>
#include <heed/latent/latent_attention.hpp>
#include <heed/latent/latent_conversions.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_saved.hpp>
#include <heed/latent/latent_weights.hpp>
