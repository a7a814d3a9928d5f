#pragma once

#include <array>
#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/function_arguments.hpp>
#include <heed/nystrom/kernel/inverse_rounds.hpp>
#include <heed/nystrom/kernel/inverse_rounds_backward.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>
#include <heed/nystrom/kernel/segments.hpp>

/// \file
/// The pseudo-inverse of many small matrices by products alone.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <std::integral Rounds>
index checked_rounds(Rounds rounds) {
    require_argument(std::cmp_greater_equal(rounds, 0),
                     "heed::iterative_pseudo_inverse: rounds is ", rounds,
                     ", but must be at least 0");
    return to_index(rounds);
}

/// All matrices of x [.., .., rows, columns] in padded memory, one after the other, as what is
/// computed in; and back, rounded where x has numbers of 16 bits.
template <class S, class T = computed_in<S>>
T* take_matrices(const tensor_view<const S, 4>& x, const padded_matrix<T>& shape, arena& scratch) {
    const index count = x.extents[0] * x.extents[1];
    T* data = scratch.take<T>(count * shape.size());
    for (index i = 0; i < count; ++i) {
        T* to = data + i * shape.size();
        shape.clear(to);
        const auto from = matrix_of(x, i / x.extents[1], i % x.extents[1]);
        for (index r = 0; r < shape.rows; ++r)
            for (index c = 0; c < shape.columns; ++c)
                to[r * shape.stride() + c] = static_cast<T>(from(r, c));
    }
    return data;
}
template <class S, class T>
void give_matrices(const T* data, const padded_matrix<T>& shape, const tensor_view<S, 4>& x) {
    for (index i = 0; i < x.extents[0] * x.extents[1]; ++i, data += shape.size()) {
        const auto to = matrix_of(x, i / x.extents[1], i % x.extents[1]);
        for (index r = 0; r < shape.rows; ++r)
            for (index c = 0; c < shape.columns; ++c)
                to(r, c) = narrow<S>(data[r * shape.stride() + c]);
    }
}

}  // namespace detail

/// iterative_pseudo_inverse, written to the caller's memory, [columns, rows] of a's leading axes.
template <class P, class A, std::integral Rounds = int, class... Extras>
void iterative_pseudo_inverse_into(P&& p, const A& a, Rounds rounds = 6, const Extras&... extras) {
    if constexpr (detail::check_matrices<A>()) {
        using S = scalar_of<A>;
        using T = detail::computed_in<S>;
        const auto held = detail::evaluate("a", a);
        const tensor_view<const S, 4> from = detail::rank4(held.view());
        auto extents = from.extents;
        std::swap(extents[2], extents[3]);
        const auto to = detail::checked_result<S>("the pseudo-inverse", p, extents, "a", from);
        const index count = detail::checked_rounds(rounds);
        const detail::function_resources resources(extras...);
        workspace& memory = *resources.memory;
        if (to.empty()) return;
        arena& own = memory.slot(0);
        const arena::scope mark(own);
        const detail::padded_matrix<T> shape{from.extents[2], from.extents[3]};
        const detail::padded_matrix<T> inverse{shape.columns, shape.rows};
        const index matrices = from.extents[0] * from.extents[1];
        const T* all = detail::take_matrices(from, shape, own);
        T* results = own.take<T>(matrices * inverse.size());
        using work = detail::inverse_rounds<T>;
        detail::run_matrix_steps(resources.threads, memory, matrices, work::count_steps(count),
                                 work::operations(shape, count), [&](arena& scratch, index i) {
                                     return work(shape, all + i * shape.size(),
                                                 results + i * inverse.size(), count, false,
                                                 scratch);
                                 });
        detail::give_matrices(results, inverse, to);
    }
}

/// The Moore–Penrose pseudo-inverse of a matrix A, or of each matrix of the last two axes, by
/// `rounds` rounds of
///
///     V ← ¼V(13I − AV(15I − AV(7I − AV)))
///
/// from V = Aᵀ/(‖A‖₁‖A‖_∞), a matrix at a time (Razavi et al. 2014; arXiv 2102.03902). The error
/// I − AV falls with its third power, once it is below 1: six rounds are enough for landmarks of
/// attention, not for a matrix near a singular one, of which some thirty find what double can hold;
/// in float more than about 20 amplify rounding. Matrices of 16-bit numbers are inverted in float,
/// and rounded once.
///
///     auto p = heed::iterative_pseudo_inverse(a, 6);
///
/// `rounds` rounds are 4·rounds·r²(r + c) operations for a matrix [r, c], by the microkernel of
/// attention; a matrix is a task, and fewer matrices than threads are cut. A matrix of zeros has
/// zeros. Throws argument_error for rounds < 0.
template <class A, std::integral Rounds = int, class... Extras>
[[nodiscard]] auto iterative_pseudo_inverse(const A& a, Rounds rounds = 6,
                                            const Extras&... extras) {
    if constexpr (detail::check_matrices<A>()) {
        const auto held = detail::evaluate("a", a);
        const auto extents = held.view().extents;
        auto p = detail::make_matrices<A>("the pseudo-inverse", extents, extents.back(),
                                          extents[extents.size() - 2]);
        iterative_pseudo_inverse_into(p, held.view(), rounds, extras...);
        return p;
    }
}

/// iterative_pseudo_inverse_backward, written to the caller's memory: da has a's shape.
template <class DA, class DP, class A, std::integral Rounds = int, class... Extras>
void iterative_pseudo_inverse_backward_into(DA&& da, const DP& d_p, const A& a, Rounds rounds = 6,
                                            const Extras&... extras) {
    if constexpr (detail::check_matrices<A>() && detail::check_matrices<DP>()) {
        using S = scalar_of<A>;
        using T = detail::computed_in<S>;
        static_assert(std::is_same_v<S, scalar_of<DP>>, "heed: d_p must have the scalar of a");
        const auto held = detail::evaluate("a", a);
        const auto held_d = detail::evaluate("d_p", d_p);
        const tensor_view<const S, 4> from = detail::rank4(held.view());
        const tensor_view<const S, 4> d = detail::rank4(held_d.view());
        auto inverse_extents = from.extents;
        std::swap(inverse_extents[2], inverse_extents[3]);
        detail::require_shape(d.extents == inverse_extents, "d_p has shape ", d.extents,
                              ", but must have ", inverse_extents);
        const auto to = detail::checked_result<S>("da", da, from.extents, "a", from);
        detail::check_apart("da", to, "d_p", d);
        const index count = detail::checked_rounds(rounds);
        const detail::function_resources resources(extras...);
        workspace& memory = *resources.memory;
        if (to.empty()) return;
        arena& own = memory.slot(0);
        const arena::scope mark(own);
        const detail::padded_matrix<T> shape{from.extents[2], from.extents[3]};
        const detail::padded_matrix<T> inverse{shape.columns, shape.rows};
        const index matrices = from.extents[0] * from.extents[1];
        const T* all = detail::take_matrices(from, shape, own);
        T* given = detail::take_matrices(d, inverse, own);
        T* results = own.take<T>(matrices * shape.size());
        using work = detail::inverse_rounds_backward<T>;
        detail::run_matrix_steps(resources.threads, memory, matrices, work::count_steps(count),
                                 work::operations(shape, count), [&](arena& scratch, index i) {
                                     return work(shape, all + i * shape.size(),
                                                 given + i * inverse.size(),
                                                 results + i * shape.size(), count, scratch);
                                 });
        detail::give_matrices(results, shape, to);
    }
}

/// The gradient of a from that of iterative_pseudo_inverse(a, rounds): through its rounds, and
/// through the norms it begins with. V of every round is kept meanwhile.
template <class DP, class A, std::integral Rounds = int, class... Extras>
[[nodiscard]] auto iterative_pseudo_inverse_backward(const DP& d_p, const A& a, Rounds rounds = 6,
                                                     const Extras&... extras) {
    if constexpr (detail::check_matrices<A>()) {
        const auto held = detail::evaluate("a", a);
        auto da = detail::make_like<A>(held.view().extents);
        iterative_pseudo_inverse_backward_into(da, d_p, held.view(), rounds, extras...);
        return da;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
