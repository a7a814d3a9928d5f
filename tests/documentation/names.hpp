#pragma once

#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include <heed/heed.hpp>

// What the pages of docs/ take for given, by the names that they use.
namespace documentation {

extern Eigen::ThreadPool pool;
extern heed::workspace workspace;

// attention
extern Eigen::Tensor<float, 4, Eigen::RowMajor> q, k, v, o, d_o, dq, dk, dv;
extern heed::stats_for<float> stats;
extern heed::rope::frequencies rope;
extern const heed::index B, H, Hkv, N, M, D, d, m, n, heads, length;

// rows, what a normaliser makes of them, and gradients
extern Eigen::MatrixXf x, y, p, dx, dy, dp;
extern const std::uint64_t seed;

}  // namespace documentation
