#pragma once

/// \file
/// Entropy, sparsity and rank of rows and matrices.

#include <heed/measure/cosine_entropy_floor.hpp>
#include <heed/measure/effective_rank_estimate.hpp>
#include <heed/measure/entropy.hpp>
#include <heed/measure/rank.hpp>
#include <heed/measure/softmax_gradient_size.hpp>
#include <heed/measure/sparsity.hpp>
