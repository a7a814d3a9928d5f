#pragma once

#include <array>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/detail/checked_attention.hpp>
#include <heed/attention/kernel/program/make_program.hpp>
#include <heed/attention/kernel/whole_row/score_matrix.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>

/// \file
/// The matrix of scores, for pictures and small studies.

namespace heed::inline HEED_ARCHITECTURE {

/// The scores s [batch, heads, queries, keys] of exact attention as its normaliser is given them:
/// c_i·(q_i·k_j), through every modifier, −∞ where a mask hides the key. Without modifiers among
/// the parts they are those before the modifiers. A normaliser and dropout, which come behind, may
/// stand among the parts and change nothing. Memory and time grow with keys², so this is for small
/// sequences; attention itself never forms s.
///
///     auto s = heed::attention_scores(q, k, heed::causal, heed::soft_cap(30));
///
/// Errors are those of heed::attention.
template <class Q, class K, class... Parts>
[[nodiscard]] auto attention_scores(const Q& q, const K& k, const Parts&... parts) {
    if constexpr (detail::check_inputs<Q, K, K>()) {
        using T = scalar_of<Q>;
        constexpr bool observes = (detail::count_of<role::observer, Parts...> != 0);
        static_assert(!observes,
                      "heed: attention_scores forms no probabilities: it takes no observer");
        detail::check_forward_parts<Parts...>();
        const auto held_q = detail::evaluate(q);
        const auto held_k = detail::evaluate(k);
        const auto queries = detail::rank4(held_q.view());
        const auto keys = detail::rank4(held_k.view());
        const attention_shape shape = detail::shape_of<T>(queries, keys, keys);
        detail::check_result<T>(
            "s", std::array<index, 4>{shape.batch, shape.heads, shape.queries, shape.keys});
        Eigen::Tensor<T, 4, Eigen::RowMajor> s(shape.batch, shape.heads, shape.queries, shape.keys);
        detail::with_call(
            queries, keys, keys,
            [&](const auto& call) {
                arena& scratch = call.memory().slot(0);
                const arena::scope mark(scratch);
                if (s.size() > 0)
                    detail::write_score_matrix<T>(detail::make_program<T, false>(call, scratch),
                                                  detail::view_of(s));
            },
            parts...);
        return s;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
