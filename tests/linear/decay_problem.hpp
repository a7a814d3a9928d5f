#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>

#include "linear/problem.hpp"

/// \file
/// Inputs of linear attention with decays, and what it must be.

namespace heed_test {

template <class T>
using tensor3 = Eigen::Tensor<T, 3, Eigen::RowMajor>;

/// [B, H, N] as heed takes it.
template <class T>
tensor3<T> to_decays(const reference::tensor& from) {
    tensor3<T> to(from.batches(), from.heads(), from.rows());
    std::transform(from.values.begin(), from.values.end(), to.data(),
                   [](double x) { return static_cast<T>(x); });
    return to;
}

/// The gradient of numbers of any shape, as compare_gradients takes it.
template <class Numbers>
tensor4<double> as_four(const Numbers& x) {
    tensor4<double> to(1, 1, 1, x.size());
    std::copy_n(x.data(), x.size(), to.data());
    return to;
}

/// Numbers a token of heads that divide those of o: some long memories, some short, some tokens
/// that begin anew where `forgets`.
inline reference::tensor random_decays(generator& random, const linear_extents& e, index heads,
                                       bool forgets = true) {
    reference::tensor logs(e.batch, heads, e.keys, 1);
    const double most = random.one_of<double>({0.01, 0.3, 5});
    for (double& x : logs.values) {
        x = -static_cast<double>(static_cast<float>(most * random.uniform(0.1, 1.0)));
        if (forgets && random.chance(0.03))
            x = random.one_of<double>({-60, -104.5, -1e30, -HUGE_VAL});
    }
    return logs;
}

/// Random extents with heads of decays too.
inline std::tuple<linear_extents, index> random_decay_extents(generator& random) {
    linear_extents e = random_linear_extents(random);
    const index most = std::max({e.query_heads, e.key_heads, e.value_heads});
    index heads = random.chance(0.3) ? 1 : most;
    if (most == 1 && random.chance(0.5)) heads = 3;  // more than all others
    return {e, heads};
}

/// What the decays are to the reference.
inline reference::linear_options with_decays(const linear_problem& from,
                                             const reference::tensor& logs) {
    const linear_extents& e = from.sizes;
    reference::linear_options how =
        reference::with_map(reference::each_number(reference::identity));
    how.divides = false;
    how.offset = e.keys - e.queries;
    how.visible = reference::causal(e.queries, e.keys);
    how.log_decays = logs;
    const index heads = std::max({e.query_heads, e.key_heads, e.value_heads, logs.heads()});
    how.scale.assign(static_cast<std::size_t>(heads), 1 / std::sqrt(static_cast<double>(e.dim)));
    return how;
}

/// A problem whose d_o has o's heads.
inline linear_problem decay_problem(generator& random, const linear_extents& e, index heads) {
    linear_problem from(random, e);
    if (heads > from.d_o.heads())
        from.d_o = random_numbers(random, e.batch, heads, e.queries, e.value_dim);
    return from;
}

}  // namespace heed_test
