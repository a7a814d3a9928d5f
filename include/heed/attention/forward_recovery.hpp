#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/call.hpp>
#include <heed/attention/forward_tile.hpp>
#include <heed/attention/packed_head.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/softmax/lines.hpp>
#include <heed/softmax/streaming.hpp>

/// \file
/// Forward of rows whose weights, or sums of weight·v, are beyond T though o is not.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Whether a stream's weights may be beyond T; see weights.hpp.
template <class Stream, class T>
concept overflowing_stream = requires(const Stream& stream, const running_rows<T>& rows) {
    stream.overflows(rows, index(0));
};

/// Pass 2: rows whose weights were beyond T begin again with shrunk ones. Whether there are any.
template <class T, class Call, class Stream>
bool shrink_weights(const Call& call, const call_positions& where, const Stream& stream,
                    const query_tile<T>& tile, const packed_head<T>& packed, block_view<T>& block,
                    const forward_state<T>& state, arena& scratch) {
    const arena::scope mark(scratch);
    bool* overflows = scratch.take<bool>(tile.count);
    bool some = false;
    for (index r = 0; r < tile.count; ++r)
        some = (overflows[r] = stream.overflows(state.rows, r)) || some;
    if (!some) return false;

    T* largest = scratch.take<T>(tile.count);
    std::fill_n(largest, static_cast<std::size_t>(tile.count), T(0));
    for_seen_blocks(call, where, tile, block, [&](const block_view<T>& at, bool) {
        score_block(call, where, tile, at, packed.key_panels, state.scores, score_stride<T>,
                    state.lane_maximum, state.row_maximum);
        for (index r = 0; r < tile.count; ++r) {
            const key_interval range = at.range[r / tile.strip];
            const contiguous_line<const T> row{state.scores + r * score_stride<T> + range.first,
                                               range.last - range.first};
            largest[r] = std::max(largest[r], reduce_max(largest_finite_magnitude(row)));
        }
    });
    stream.begin(state.rows, tile.visible, tile.count);
    for (index r = 0; r < tile.count; ++r)
        if (overflows[r]) stream.shrink(state.rows, r, largest[r]);
    return true;
}

/// Pass 3: where Σ weight·v of a row is beyond T, it becomes Σ p·v, and its factor 1.
template <class T, class Call, class Stream, class Observed>
void recover_outputs(const Call& call, const call_positions& where, const Stream& stream,
                     const query_tile<T>& tile, const packed_head<T>& packed, block_view<T>& block,
                     const forward_state<T>& state, Observed& observed, arena& scratch) {
    const index stride = state.output_stride, value_dim = call.shape.value_dim;
    const auto numbers = static_cast<std::size_t>(tile.count * stride);
    const auto is_finite = [&](const T* outputs, index r) {
        return all_finite<T>({outputs + r * stride, stride}, 1, value_dim);
    };
    bool all_are = true;
    for (index r = 0; r < tile.count; ++r) all_are = all_are && is_finite(state.output, r);
    if (all_are) return;

    const arena::scope mark(scratch);
    T* outputs = scratch.take<T>(tile.count * stride);
    T* factors = scratch.take<T>(tile.count);
    auto* statistics = scratch.take<typename Stream::statistics>(tile.count);
    std::copy_n(state.output, numbers, outputs);
    for (index r = 0; r < tile.count; ++r) factors[r] = stream.finish(state.rows, r, statistics[r]);
    attend_to_all(call, where, stream, tile, packed, block, state, observed, statistics, scratch);
    for (index r = 0; r < tile.count; ++r) {
        if (!is_finite(outputs, r)) continue;
        std::copy_n(outputs + r * stride, static_cast<std::size_t>(stride),
                    state.output + r * stride);
        state.rows.factor[r] = factors[r];
    }
}

/// Whether no Σ weight·v of a tile can be beyond T.
template <class T, class Call>
bool outputs_are_moderate(const Call& call, const query_tile<T>& tile, const packed_head<T>& packed,
                          const running_rows<T>& rows) {
    constexpr double most = 4294967296;  // all_moderate's
    const key_interval seen = tile.seen_by_all();
    bool moderate = true;
    for (index key = seen.first / key_block<T>; key * key_block<T> < seen.last; ++key)
        moderate = moderate && packed.moderate_values[key];
    using stream = decltype(call.normaliser().template streaming<T>(index(0)));
    if constexpr (overflowing_stream<stream, T>)
        for (index r = 0; r < tile.count; ++r) moderate = moderate && rows.sum[r] <= most;
    return moderate;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
