#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// The matrix of attention itself, for pictures and small studies.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// The first keys of a call, as values: a unit vector each, so that the output is the weights.
template <class T>
Eigen::Tensor<T, 4, Eigen::RowMajor> unit_values(const attention_shape& shape) {
    check_result<T>("a unit vector a key",
                    std::array<index, 4>{shape.batch, shape.kv_heads, shape.keys, shape.keys});
    Eigen::Tensor<T, 4, Eigen::RowMajor> values(shape.batch, shape.kv_heads, shape.keys,
                                                shape.keys);
    values.setZero();
    for (index batch = 0; batch < shape.batch; ++batch)
        for (index head = 0; head < shape.kv_heads; ++head)
            for (index key = 0; key < shape.keys; ++key) values(batch, head, key, key) = T(1);
    return values;
}

}  // namespace detail

/// The probabilities p [batch, heads, queries, keys] of exact attention, whatever its parts: o =
/// p·v. Memory and time grow with keys², so this is for small sequences; attention itself never
/// forms p.
///
///     auto p = heed::attention_weights(q, k, heed::causal);
template <class Q, class K, class... Parts>
[[nodiscard]] Eigen::Tensor<scalar_of<Q>, 4, Eigen::RowMajor> attention_weights(
    const Q& q, const K& k, const Parts&... parts) {
    detail::check_inputs<Q, K, K>();
    using T = scalar_of<Q>;
    const auto held_q = detail::evaluate(q);
    const auto held_k = detail::evaluate(k);
    const auto queries = detail::rank4(held_q.view());
    const auto keys = detail::rank4(held_k.view());
    const attention_shape shape = detail::shape_of<T>(queries, keys, keys);
    detail::check_result<T>(
        "p", std::array<index, 4>{shape.batch, shape.heads, shape.queries, shape.keys});
    Eigen::Tensor<T, 4, Eigen::RowMajor> p(shape.batch, shape.heads, shape.queries, shape.keys);
    if (shape.keys > 0) attention_into(p, queries, keys, detail::unit_values<T>(shape), parts...);
    return p;
}

}  // namespace heed::inline HEED_ARCHITECTURE
