#pragma once

/// \file
/// Nyström attention, and what it is made of: segment means, the iterative pseudo-inverse, the
/// residual convolution.

#include <heed/nystrom/iterative_pseudo_inverse.hpp>
#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>
#include <heed/nystrom/segment_means.hpp>
