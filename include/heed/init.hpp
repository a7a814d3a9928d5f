#pragma once

/// \file
/// First weights, norms, activations.

#include <heed/init/activations/erf.hpp>
#include <heed/init/activations/gelu.hpp>
#include <heed/init/activations/gelu_tanh.hpp>
#include <heed/init/activations/silu.hpp>
#include <heed/init/activations/softplus.hpp>
#include <heed/init/activations/swiglu.hpp>
#include <heed/init/initialiser.hpp>
#include <heed/init/layer_norm.hpp>
#include <heed/init/re_zero.hpp>
#include <heed/init/rms_norm.hpp>
