#pragma once

/// \file
/// Every scale: what a product of q and k is multiplied by.

#include <heed/attention/scales/counted_scale.hpp>
#include <heed/attention/scales/gradient_maximising_scale.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
