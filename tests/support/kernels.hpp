#pragma once

#include <heed/heed.hpp>

#include "support/attention_kernels.hpp"
#include "support/latent_kernels.hpp"
#include "support/linear_kernels.hpp"

/// \file
/// All of heed, and the kernels that are compiled once: precompiled for what includes all of it.
