#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <utility>

#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>
#include <heed/nystrom/kernel/function_arguments.hpp>
#include <heed/nystrom/kernel/landmarks.hpp>
#include <heed/nystrom/kernel/segments.hpp>

/// \file
/// Segment means: the landmarks of Nyström attention, alone.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <std::integral Segments>
index checked_segments(const char* function, Segments segments) {
    require_argument(std::cmp_greater_equal(segments, 1), function, ": segments is ", segments,
                     ", but must be at least 1");
    return to_index(segments);
}

}  // namespace detail

/// segment_means, written to the caller's memory, [min(m, n), columns] of x's leading axes.
template <class Y, class X, std::integral Segments, class... Extras>
void segment_means_into(Y&& means, const X& x, Segments segments, const Extras&... extras) {
    if constexpr (detail::check_matrices<X>()) {
        using S = scalar_of<X>;
        const auto held = detail::evaluate("x", x);
        const tensor_view<const S, 4> from = detail::rank4(held.view());
        auto extents = from.extents;
        extents[2] = detail::count_segments(
            detail::checked_segments("heed::segment_means", segments), extents[2]);
        const auto to = detail::checked_result<S>("the means", means, extents, "x", from);
        const detail::function_resources resources(extras...);
        detail::find_landmarks(resources.threads, *resources.memory, from, to);
    }
}

/// Row i of the result is the mean of rows ⌊in/m⌋ … ⌊(i + 1)n/m⌋ − 1 of x [n, columns], m =
/// min(segments, n): segments that do not overlap, and whose lengths differ by one at most. One or
/// two axes may stand in front. The landmarks of heed::nystrom_attention (arXiv 2102.03902).
///
///     auto landmarks = heed::segment_means(k, 64);
///
/// Every 16 rows are summed by themselves, and these sums added as Kahan's, in order; numbers of 16
/// bits in float, the mean rounded once. O(size of x). Throws argument_error for less than one
/// segment.
template <class X, std::integral Segments, class... Extras>
[[nodiscard]] auto segment_means(const X& x, Segments segments, const Extras&... extras) {
    if constexpr (detail::check_matrices<X>()) {
        const auto held = detail::evaluate("x", x);
        const auto extents = held.view().extents;
        const index rows = extents[extents.size() - 2];
        const index m =
            detail::count_segments(detail::checked_segments("heed::segment_means", segments), rows);
        auto means = detail::make_matrices<X>("the means", extents, m, extents.back());
        segment_means_into(means, held.view(), segments, extras...);
        return means;
    }
}

/// segment_means_backward, written to the caller's memory: dx has x's shape.
template <class DX, class D, class... Extras>
void segment_means_backward_into(DX&& dx, const D& d_means, const Extras&... extras) {
    if constexpr (detail::check_matrices<D>()) {
        using S = scalar_of<D>;
        const auto held = detail::evaluate("d_means", d_means);
        const tensor_view<const S, 4> from = detail::rank4(held.view());
        auto extents = from.extents;
        extents[2] = detail::rank4(detail::view_of(dx)).extents[2];  // any number of rows
        const auto to = detail::checked_result<S>("dx", dx, extents, "d_means", from);
        const bool fits = from.extents[2] <= extents[2] && (from.extents[2] > 0 || extents[2] == 0);
        detail::require_shape(fits, "d_means has shape ", from.extents, " and dx has shape ",
                              extents, ", but each mean must be that of a row at least");
        const detail::function_resources resources(extras...);
        workspace& memory = *resources.memory;
        detail::fill(resources.threads.pool, memory, to, S(0));
        detail::spread_means(resources.threads, memory, from, to);
    }
}

/// The gradient of x [n, columns] from that of segment_means(x, m): each row gets its segment's,
/// divided by the segment's length.
template <class D, std::integral Rows, class... Extras>
[[nodiscard]] auto segment_means_backward(const D& d_means, Rows rows, const Extras&... extras) {
    if constexpr (detail::check_matrices<D>()) {
        const auto held = detail::evaluate("d_means", d_means);
        const auto extents = held.view().extents;
        detail::require_argument(std::cmp_greater_equal(rows, extents[extents.size() - 2]),
                                 "heed::segment_means_backward: rows is ", rows,
                                 ", but must be at least the number of means, ",
                                 extents[extents.size() - 2]);
        auto dx = detail::make_matrices<D>("dx", extents, detail::to_index(rows), extents.back());
        segment_means_backward_into(dx, held.view(), extras...);
        return dx;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
