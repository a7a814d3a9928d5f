#pragma once

/// \file
/// First weights, norms, activations.

#include <heed/init/initialiser.hpp>
#include <heed/init/layer_norm.hpp>
#include <heed/init/re_zero.hpp>
#include <heed/init/rms_norm.hpp>
