#pragma once

#include <algorithm>
#include <limits>

#include <heed/attention/call.hpp>
#include <heed/attention/observer.hpp>
#include <heed/attention/packed_head.hpp>
#include <heed/attention/query_tile.hpp>
#include <heed/attention/rows.hpp>
#include <heed/attention/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/softmax/streaming.hpp>

/// \file
/// Forward of one tile for streaming normalisers: a block of queries against all keys.
///
/// Built for the peak of the multiply-add units: of a block's time at d = 64 the two products take
/// nine tenths. A tile of scores (query_block × key_block) stays in the L2 cache, as do the block's
/// keys and values; a panel of keys stays in L1 while all strips of queries pass it.
///
/// Passes, each over the blocks of keys in their order:
///   1. scores, weights, Σ weight·v;
///   2. rarely, where weights of a row were beyond T: the rows' largest |score|, then 1 again with
///      weights that shrink by it;
///   3. rarely, where Σ weight·v of a row was: scores, probabilities, Σ p·v.
/// A row's own scores and values say whether it takes 2 or 3, never those of its neighbours.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// output[r] = factor[r]·output[r] + Σ_j weight[r, j]·v_j, `values` being those of the first
/// weight.
template <class T>
void add_values(const T* weights, index rows, index keys, const contiguous_rows<T>& values,
                index value_dim, const T* factor, T* output, index output_stride) {
    multiply_columns(
        rows, weights, score_stride<T>, index(1), values, value_dim, keys,
        [&]<int Vectors>(index r, index column, const vec<T>* sums) __attribute__((always_inline)) {
            T* to = output + r * output_stride + column;
            const vec<T> shrink(factor[r]);
            unroll<Vectors>([&](auto c) __attribute__((always_inline)) {
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

/// Blocks whose sums are added one to the other. Such stretches add up to the whole with what each
/// addition lost kept beside, so that a mean over millions of keys is as good as one over a
/// stretch.
inline constexpr index blocks_in_a_stretch = 32;

/// What a task of forward keeps of its rows from block to block.
template <class T>
struct forward_state {
    running_rows<T> rows;
    T* scores;
    T* lane_maximum;
    T* row_maximum;
    T* output;  ///< Σ weight·v of this stretch of blocks
    index output_stride;
    T* before;         ///< the same of all stretches before it; null if there is one
    T* before_lost;    ///< what is to be added to that
    T* before_factor;  ///< by which both have shrunk since
};

template <class T>
forward_state<T> make_forward_state(const attention_shape& shape, index count, arena& scratch) {
    const index rows = round_up(count, std::max<index>(tiles.score_rows, vec<T>::size)) +
                       tiles.score_rows;  // tiles may be a few rows too high
    const index stride = padded<T>(shape.value_dim);
    const bool stretches = shape.keys > blocks_in_a_stretch * key_block<T>;
    return {{scratch.take<T>(rows), scratch.take<T>(rows), scratch.take<double>(rows),
             scratch.take<T>(rows)},
            scratch.take<T>(rows * score_stride<T>),
            scratch.take<T>(rows * vec<T>::size),
            scratch.take<T>(rows),
            scratch.take<T>(rows * stride),
            stride,
            stretches ? scratch.take<T>(rows * stride) : nullptr,
            stretches ? scratch.take<T>(rows * stride) : nullptr,
            stretches ? scratch.take<T>(rows) : nullptr};
}

/// A row's scores become what they are multiplied with v by: weights, or where the row's statistics
/// are known, probabilities.
template <class T, class Stream, class Observed, class Statistics>
void weigh_row(const Stream& stream, const forward_state<T>& state, index r, key_interval range,
               Observed& observed, const Statistics* known) {
    T* scores = state.scores + r * score_stride<T>;
    if (known == nullptr)
        return observed.weigh(stream, state.rows, r, scores, range.first, range.last);
    const auto row = stream.row(known[r], T(0));
    for (index j = range.first; j < range.last; j += vec<T>::size)
        row.probability(vec<T>::load(scores + j)).store(scores + j);
}

/// One block of keys: scores, weights, weights·v.
template <class T, class Call, class Stream, class Observed, class Statistics>
void attend_to_block(const Call& call, const call_positions& where, const Stream& stream,
                     const query_tile<T>& tile, const packed_head<T>& head,
                     const block_view<T>& block, const forward_state<T>& state, Observed& observed,
                     const Statistics* known, arena& scratch) {
    score_block(call, where, tile, block, head.key_panels, state.scores, score_stride<T>,
                state.lane_maximum, state.row_maximum);
    if (known == nullptr) stream.advance(state.rows, state.row_maximum, tile.count);
    const bool finite = head.finite_values[block.first / key_block<T>];
    for (index s = 0; s < tile.strip_count(); ++s) {
        const key_interval range = block.range[s];
        if (range.first == range.last) continue;
        const index first = s * tile.strip;
        const index last = std::min(first + tile.strip, tile.count);
        for (index r = first; r < last; ++r) weigh_row(stream, state, r, range, observed, known);
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

/// A stretch of blocks is over: its sums go to those before it, or all of them back to `output`.
template <class T>
void end_stretch(const forward_state<T>& state, index count, bool is_last) {
    const vec<T> zero(T(0));
    for (index r = 0; r < count; ++r) {
        const vec<T> factor(state.before_factor[r]);
        const index row = r * state.output_stride;
        for (index c = row; c < row + state.output_stride; c += vec<T>::size) {
            // The sum with 0 keeps compilers from fusing the product with what comes next.
            const vec<T> before = fma(vec<T>::load(state.before + c), factor, zero);
            const vec<T> now = vec<T>::load(state.output + c);
            const vec<T> sum = before + now;
            const vec<T> of_now = sum - before;
            const vec<T> lost = (before - (sum - of_now)) + (now - of_now);
            const vec<T> all_lost = fma(vec<T>::load(state.before_lost + c), factor, lost);
            if (is_last) {
                // What is not finite has lost NaNs.
                select(abs(sum) < vec<T>(std::numeric_limits<T>::infinity()), sum + all_lost, sum)
                    .store(state.output + c);
            } else {
                sum.store(state.before + c);
                all_lost.store(state.before_lost + c);
                zero.store(state.output + c);
            }
        }
        state.before_factor[r] = T(1);
    }
}

/// f(block of keys, whether it ends a stretch) over all that a tile sees.
template <class T, class Call, class F>
void for_seen_blocks(const Call& call, const call_positions& where, const query_tile<T>& tile,
                     block_view<T>& block, F&& f) {
    const key_interval seen = tile.seen_by_all();
    for (index key = seen.first / key_block<T> * key_block<T>; key < seen.last;
         key += key_block<T>) {
        look_at_block(call, where, tile, key, block);
        f(block, (key / key_block<T> + 1) % blocks_in_a_stretch == 0);
    }
}

/// Σ weight·v over all keys, in state.output; or Σ p·v where the rows' statistics are known.
template <class T, class Call, class Stream, class Observed, class Statistics>
void attend_to_all(const Call& call, const call_positions& where, const Stream& stream,
                   const query_tile<T>& tile, const packed_head<T>& packed, block_view<T>& block,
                   const forward_state<T>& state, Observed& observed, const Statistics* known,
                   arena& scratch) {
    const index rows =
        round_up(tile.count, std::max<index>(tiles.score_rows, vec<T>::size)) + tiles.score_rows;
    std::fill_n(state.output, static_cast<std::size_t>(rows * state.output_stride), T(0));
    std::fill_n(state.rows.factor, static_cast<std::size_t>(rows), T(1));
    std::fill_n(state.row_maximum, static_cast<std::size_t>(rows),
                -std::numeric_limits<T>::infinity());
    if (state.before != nullptr) {
        for (T* sums : {state.before, state.before_lost})
            std::fill_n(sums, static_cast<std::size_t>(rows * state.output_stride), T(0));
        std::fill_n(state.before_factor, static_cast<std::size_t>(rows), T(1));
    }
    for_seen_blocks(call, where, tile, block, [&](const block_view<T>& at, bool ends_stretch) {
        attend_to_block(call, where, stream, tile, packed, at, state, observed, known, scratch);
        if (state.before == nullptr) return;
        for (index r = 0; r < tile.count; ++r) state.before_factor[r] *= state.rows.factor[r];
        if (ends_stretch) end_stretch(state, tile.count, false);
    });
    if (state.before != nullptr) end_stretch(state, tile.count, true);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
