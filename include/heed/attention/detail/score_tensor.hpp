#pragma once

#include <array>
#include <cstddef>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>

/// \file
/// Tensors with a number for each score, broadcast where an extent is 1: biases, boolean masks.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// A tensor over [batch, head, query, key] in which an extent of 1 stands for all: its stride
/// becomes 0.
template <class T, int Rank>
tensor_view<T, 4> broadcast_over_scores(const tensor_view<T, Rank>& values) {
    auto all = rank4(values);
    for (std::size_t axis = 0; axis < 4; ++axis) {
        if (all.extents[axis] == 1) all.strides[axis] = 0;
    }
    return all;
}

/// How many queries ahead such a tensor is fetched. Kernels take a few keys of one query, then
/// those of the next, which lie too far apart for the machine to see what comes; of 1, 2, 4, 8 and
/// 16 rows, 4 cost the least.
inline constexpr index rows_fetched_ahead = 4;

/// Refuses a tensor that does not broadcast over the scores of a call.
template <class T, int Rank>
void check_broadcast(const char* name, const tensor_view<T, Rank>& values,
                     const attention_shape& shape) {
    static_assert(Rank >= 2 && Rank <= 4,
                  "heed: a tensor over the scores has axes [queries, keys], "
                  "[heads, queries, keys] or [batch, heads, queries, keys]");
    check_view(name, values);
    const std::array<index, 4> scores = {shape.batch, shape.heads, shape.queries, shape.keys};
    const auto all = rank4(values);
    bool fits = true;
    for (std::size_t axis = 0; axis < 4; ++axis)
        fits = fits && (all.extents[axis] == scores[axis] || all.extents[axis] == 1);
    require_shape(fits, name, " has shape ", values.extents,
                  ", but must broadcast to [batch, heads, queries, keys] = ", scores,
                  ": each extent that, or 1");
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
