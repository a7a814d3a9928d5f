#pragma once

#include <algorithm>
#include <limits>

#include <heed/attention/call.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/softmax/streaming.hpp>

/// \file
/// Exact attention forward, block of keys by block, for streaming normalisers.
///
/// Built for the peak of the multiply-add units: of a block's time at d = 64 the two products take
/// nine tenths. A tile of scores (query_block × key_block) stays in the L2 cache, as do the block's
/// keys and values; a panel of keys stays in L1 while all strips of queries pass it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The keys and values of one head as the microkernels read them.
template <class T>
struct packed_head {
    key_maps<T*> key_panels;    ///< pack_panels, of each map
    T* padded_values;           ///< null if v's own memory will do
    contiguous_rows<T> values;  ///< padded rows
    bool* finite_values;        ///< [blocks]: whether a block of v is free of NaN and infinities
};

constexpr index count_blocks(index number, index block) { return (number + block - 1) / block; }

/// Memory for the keys of a head as panels, of each map.
template <class T>
key_maps<T*> take_key_panels(const attention_shape& shape, std::size_t maps, arena& scratch) {
    key_maps<T*> panels{};
    for (std::size_t m = 0; m < maps; ++m)
        panels[m] = scratch.take<T>(packed_size<T>(panel_width<T>, shape.keys, shape.dim));
    return panels;
}

template <class T>
packed_head<T> make_packed_head(const attention_shape& shape, std::size_t maps, bool pads_values,
                                arena& scratch) {
    return {take_key_panels<T>(shape, maps, scratch),
            pads_values ? scratch.take<T>(shape.keys * padded<T>(shape.value_dim)) : nullptr,
            {},
            scratch.take<bool>(count_blocks(shape.keys, key_block<T>))};
}

/// Where the values of a head will be once they are packed.
template <class T>
void locate_values(const tensor_view<const T, 4>& v, index batch, index kv_head,
                   packed_head<T>& head) {
    head.values = head.padded_values == nullptr
                      ? rows_of<T>(v, batch, kv_head, 0, v.extents[2], nullptr)
                      : contiguous_rows<T>{head.padded_values, padded<T>(v.extents[3])};
}

/// Packs one block of keys and values.
template <class T, class Call, class Preparation>
void pack_block(const Call& call, const Preparation& preparation, index batch, index kv_head,
                index block, const packed_head<T>& to, arena& scratch) {
    const attention_shape& shape = call.shape;
    const index first = block * key_block<T>;
    const index count = std::min(key_block<T>, shape.keys - first);
    const arena::scope mark(scratch);
    T* buffer = scratch.take<T>(count * std::max(shape.dim, shape.value_dim));
    for (std::size_t m = 0; m < Call::key_map_count; ++m) {
        const auto map = static_cast<encoding_map>(m);
        if (!preparation.takes(map, first, count)) continue;
        const auto keys = preparation.keys(batch, kv_head, first, count, buffer, map);
        pack_panels(keys, count, shape.dim, to.key_panels[m] + first * shape.dim);
    }
    const auto values = rows_of(call.v, batch, kv_head, first, count, buffer);
    if (to.padded_values != nullptr)
        pad_rows(values, count, shape.value_dim,
                 to.padded_values + first * padded<T>(shape.value_dim));
    to.finite_values[block] = all_finite(values, count, shape.value_dim);
}

/// output[r] = factor[r]·output[r] + Σ_j weight[r, j]·v_j, `values` being those of the first
/// weight.
template <class T>
void add_values(const T* weights, index rows, index keys, const contiguous_rows<T>& values,
                index value_dim, const T* factor, T* output, index output_stride) {
    multiply_columns(rows, weights, score_stride<T>, index(1), values, value_dim, keys,
                     [&]<int Vectors>(index r, index column, const vec<T>* sums) {
                         T* to = output + r * output_stride + column;
                         const vec<T> shrink(factor[r]);
                         unroll<Vectors>([&](auto c) {
                             T* at = to + c * vec<T>::size;
                             fma(vec<T>::load_aligned(at), shrink, sums[c]).store_aligned(at);
                         });
                     });
}

/// The same for one row of a block that holds NaN or infinities: in the same order, over the keys
/// that the row sees and no others, since 0·NaN is NaN.
template <class T>
void add_seen_values(const T* weights, const bool* sees, index keys,
                     const contiguous_rows<T>& values, index value_dim, T factor, T* output) {
    for (index column = 0; column < value_dim; column += vec<T>::size) {
        vec<T> sum(T(0));
        for (index j = 0; j < keys; ++j)
            if (sees[j]) sum = fma(vec<T>(weights[j]), vec<T>::load(values[j] + column), sum);
        fma(vec<T>::load(output + column), vec<T>(factor), sum).store(output + column);
    }
}

/// What a task of forward keeps of its rows from block to block.
template <class T>
struct forward_state {
    running_rows<T> rows;
    T* scores;
    T* lane_maximum;
    T* row_maximum;
    T* output;
    index output_stride;
};

template <class T>
forward_state<T> make_forward_state(const attention_shape& shape, index count, arena& scratch) {
    const index rows = round_up(count, std::max<index>(tiles.score_rows, vec<T>::size)) +
                       tiles.score_rows;  // tiles may be a few rows too high
    const index stride = padded<T>(shape.value_dim);
    forward_state<T> state{{scratch.take<T>(rows), scratch.take<T>(rows),
                            scratch.take<double>(rows), scratch.take<T>(rows)},
                           scratch.take<T>(rows * score_stride<T>),
                           scratch.take<T>(rows * vec<T>::size),
                           scratch.take<T>(rows),
                           scratch.take<T>(rows * stride),
                           stride};
    std::fill_n(state.output, static_cast<std::size_t>(rows * stride), T(0));
    std::fill_n(state.rows.factor, static_cast<std::size_t>(rows), T(1));
    std::fill_n(state.row_maximum, static_cast<std::size_t>(rows),
                -std::numeric_limits<T>::infinity());
    return state;
}

/// One block of keys: scores, weights, weights·v.
template <class T, class Call, class Stream, class Observed>
void attend_to_block(const Call& call, const call_positions& where, const Stream& stream,
                     const query_tile<T>& tile, const packed_head<T>& head,
                     const block_view<T>& block, const forward_state<T>& state, Observed& observed,
                     arena& scratch) {
    score_block(call, where, tile, block, head.key_panels, state.scores, score_stride<T>,
                state.lane_maximum, state.row_maximum);
    stream.advance(state.rows, state.row_maximum, tile.count);
    const bool finite = head.finite_values[block.first / key_block<T>];
    for (index s = 0; s < tile.strip_count(); ++s) {
        const key_interval range = block.range[s];
        if (range.first == range.last) continue;
        const index first = s * tile.strip;
        const index last = std::min(first + tile.strip, tile.count);
        for (index r = first; r < last; ++r) {
            observed.weigh(stream, state.rows, r, state.scores + r * score_stride<T>, range.first,
                           range.last);
        }
        const index first_key = block.first + range.first;
        const index keys = std::min(range.last - range.first, call.shape.keys - first_key);
        const contiguous_rows<T> values{head.values[first_key], head.values.stride};
        const T* weights = state.scores + range.first;
        if (finite) {
            add_values(weights + first * score_stride<T>, last - first, keys, values,
                       call.shape.value_dim, state.rows.factor + first,
                       state.output + first * state.output_stride, state.output_stride);
            continue;
        }
        const arena::scope mark(scratch);
        bool* sees = scratch.take<bool>(key_block<T>);
        for (index r = first; r < last; ++r) {
            list_seen(call, where, tile, r, block, range, sees);
            add_seen_values(weights + r * score_stride<T>, sees + range.first, keys, values,
                            call.shape.value_dim, state.rows.factor[r],
                            state.output + r * state.output_stride);
        }
    }
}

/// All keys for one block of queries; writes o and, unless null, the statistics of its rows.
template <class T, class Call, class Preparation, class Statistics>
void attend(const Call& call, const call_positions& where, const Preparation& preparation,
            index batch, index head, index first, index count, const packed_head<T>& packed,
            const tensor_view<T, 4>& o, Statistics* statistics, arena& scratch) {
    const arena::scope mark(scratch);
    auto tile = take_tile<T>(call.shape, Call::query_map_count, count, scratch);
    fill_tile(call, where, preparation, batch, head, first, count, tile);
    const auto state = make_forward_state<T>(call.shape, count, scratch);
    auto block = make_block_view<T>(tile.strip_count(), scratch);
    const auto stream = call.normaliser().template streaming<T>(head);
    observed_rows<T, Call::has_observers> observed(count, scratch);
    stream.begin(state.rows, tile.visible, count);
    const key_interval seen = tile.seen_by_all();
    for (index key = seen.first / key_block<T> * key_block<T>; key < seen.last;
         key += key_block<T>) {
        look_at_block(call, where, tile, key, block);
        attend_to_block(call, where, stream, tile, packed, block, state, observed, scratch);
    }
    Statistics unused;
    T* factor = state.rows.factor;
    for (index r = 0; r < count; ++r) {
        factor[r] = stream.finish(state.rows, r, statistics ? statistics[r] : unused);
        call.observe(tile.rows[r], observed.finish(r, factor[r], tile.visible[r]));
    }
    write_rows(o, batch, head, first, count, state.output, state.output_stride,
               [factor](index r) { return factor[r]; });
}

/// The caller's thread and the pool's.
inline index count_threads(Eigen::ThreadPoolInterface* pool) {
    return pool == nullptr ? 1 : pool->NumThreads() + 1;
}

/// How many kv heads are packed at a time: as many as fit in a core's cache, at least one a thread.
template <class T>
index heads_at_a_time(const attention_shape& shape, Eigen::ThreadPoolInterface* pool) {
    constexpr index cache = 256 * 1024;
    const index bytes = std::max<index>(
        1, shape.keys * (shape.dim + shape.value_dim) * static_cast<index>(sizeof(T)));
    const index threads = count_threads(pool);
    return std::clamp<index>(std::max<index>(1, cache / bytes) * threads, 1,
                             std::max<index>(1, shape.batch * shape.kv_heads));
}

/// Queries that a task takes: half of the usual where tasks are so few that threads would wait for
/// the last one.
inline index queries_a_task(const attention_shape& shape, index threads) {
    const index tasks = shape.batch * shape.heads * count_blocks(shape.queries, tiles.query_block);
    return tasks < 16 * threads && threads > 1 ? tiles.query_block / 2 : tiles.query_block;
}

/// Packs the keys and values of a checked call, a few heads at a time, and cuts the queries into
/// blocks of `rows`: attend(where, preparation, batch, head, first query, queries, packed head,
/// scratch).
template <class T, class Call, class Attend>
void for_query_blocks(const Call& call, index rows, Attend&& attend) {
    const attention_shape& shape = call.shape;
    workspace& memory = call.memory();
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const call_positions where = call.positions(own);
    with_encoding<T>(call, where, own, [&](const auto& encoding) {
        const row_preparation<T, Call, std::remove_cvref_t<decltype(encoding)>> preparation(
            call, encoding);
        const index wave = heads_at_a_time<T>(shape, call.pool());
        const index group = shape.kv_heads == 0 ? 0 : shape.heads / shape.kv_heads;
        const index key_blocks = count_blocks(shape.keys, key_block<T>);
        const index query_blocks = count_blocks(shape.queries, rows);
        packed_head<T>* packed = own.take<packed_head<T>>(wave);
        const bool pads_values = !are_padded(call.v);
        for (index i = 0; i < wave; ++i)
            packed[i] = make_packed_head<T>(shape, Call::key_map_count, pads_values, own);

        for (index first = 0; first < shape.batch * shape.kv_heads; first += wave) {
            const index heads = std::min(wave, shape.batch * shape.kv_heads - first);
            for (index i = 0; i < heads; ++i)
                locate_values(call.v, (first + i) / shape.kv_heads, (first + i) % shape.kv_heads,
                              packed[i]);
            for_each_task(call.pool(), memory, heads * key_blocks, [&](index slot, index task) {
                const index head = first + task / key_blocks;
                pack_block(call, preparation, head / shape.kv_heads, head % shape.kv_heads,
                           task % key_blocks, packed[head - first], memory.slot(slot));
            });
            const index tasks = heads * group * query_blocks;
            for_each_task(call.pool(), memory, tasks, [&](index slot, index task) {
                const index kv = first + task / (group * query_blocks);
                const index head = kv % shape.kv_heads * group + task / query_blocks % group;
                // The last queries first: under a causal mask they take the longest.
                const index begin = (query_blocks - 1 - task % query_blocks) * rows;
                attend(where, preparation, kv / shape.kv_heads, head, begin,
                       std::min(rows, shape.queries - begin), packed[kv - first],
                       memory.slot(slot));
            });
        }
    });
}

/// o, and the statistics of its rows ([batch, head, query], unless null), of a checked call.
template <class T, class Call, class Statistics>
void forward(const Call& call, const tensor_view<T, 4>& o, Statistics* statistics) {
    const attention_shape& shape = call.shape;
    const index rows = queries_a_task(shape, count_threads(call.pool()));
    for_query_blocks<T>(
        call, rows,
        [&](const call_positions& where, const auto& preparation, index batch, index head,
            index first, index count, const packed_head<T>& packed, arena& scratch) {
            Statistics* of_rows =
                statistics == nullptr
                    ? nullptr
                    : statistics + (batch * shape.heads + head) * shape.queries + first;
            attend(call, where, preparation, batch, head, first, count, packed, o, of_rows,
                   scratch);
        });
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
