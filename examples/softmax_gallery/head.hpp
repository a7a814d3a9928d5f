#pragma once

#include <cstdint>

#include <Eigen/Core>

/// \file
/// A head of attention that has learned something, for its scores.

namespace gallery {

/// Scores of a trained head over one sequence, [tokens, tokens]; row i is of use up to column i.
///
/// The head learns to find the earlier token of the same name: names are vectors with noise on
/// them, queries and keys two learned maps of them. It is trained with softmax.
Eigen::MatrixXf train_head(int steps, std::uint64_t seed);

}  // namespace gallery
