#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <Eigen/Core>

/// \file
/// The words the whole program shares. Every matrix holds one token (one character) a row.

namespace char_lm {

using index = std::ptrdiff_t;

/// A character, as its number in the vocabulary.
using token = std::uint16_t;

/// As what follows a token: nothing that is to be predicted.
inline constexpr token not_scored = 0xFFFF;

/// Row-major, so that a row is one character's features, side by side in memory.
template <class Scalar>
using matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class Scalar>
using column = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// All parameters of a model, or all their gradients, one behind the other. Aligned, because the
/// order in which Eigen sums depends on where memory starts: a run must give the same bits again.
template <class Scalar>
using flat_vector = std::vector<Scalar, Eigen::aligned_allocator<Scalar>>;

}  // namespace char_lm
