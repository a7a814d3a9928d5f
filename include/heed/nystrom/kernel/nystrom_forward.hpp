#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>

#include <heed/attention/attention.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/convolution.hpp>
#include <heed/nystrom/kernel/inverse_rounds.hpp>
#include <heed/nystrom/kernel/inverse_svd.hpp>
#include <heed/nystrom/kernel/key_pieces.hpp>
#include <heed/nystrom/kernel/landmarks.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>
#include <heed/nystrom/kernel/nystrom_call.hpp>
#include <heed/nystrom/kernel/padded_matrix.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/nystrom/nystrom_options.hpp>

/// \file
/// Nyström attention forward, in passes over q, k and v:
///
///     1. q̃, k̃ = means of segments of q and of k
///     2. F = attention(q̃, k, v)
///     3. A = attention(q̃, k̃, I), P = A⁺, G = P·F; or G = F
///     4. o = attention(q, k̃, G), plus the convolution of v
///
/// 2 and 4 are O(n·m·(d + d_v)), the rest O(m³) a head.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows of a convolution that are one task's.
inline constexpr index convolved_rows = 256;

/// y += the convolution of x with these weights, [query heads, taps]: of each head of y with its
/// head of x, or, on the way back, of each head of x with those of y that have it.
template <class T>
void add_convolutions(const on_pool& threads, workspace& memory, const T* weights,
                      index taps_a_head, const tensor_view<const T, 4>& x,
                      const tensor_view<T, 4>& y) {
    const index heads = std::max(x.extents[1], y.extents[1]), rows = y.extents[2];
    if (y.empty() || x.empty()) return;
    const index of_x = heads / x.extents[1], of_y = heads / y.extents[1], y_heads = y.extents[1];
    const index blocks = count_blocks(rows, convolved_rows);
    const auto some_rows = [&](index, index task) {
        const index b = task / blocks / y_heads, h = task / blocks % y_heads;
        const index first = task % blocks * convolved_rows;
        for (index of = h * of_y; of < (h + 1) * of_y; ++of)
            add_convolution<T>({weights + of * taps_a_head, taps_a_head, taps_a_head / 2},
                               matrix_of(x, b, of / of_x), first,
                               std::min(rows, first + convolved_rows), matrix_of(y, b, h));
    };
    const double operations =
        2 * static_cast<double>(taps_a_head) * static_cast<double>(y.size() * of_y);
    for_each_task(threads.pool, memory, y.extents[0] * y_heads * blocks, some_rows,
                  count_threads(threads, operations) - 1);
}

/// P = A⁺ of every head.
template <class T>
void invert_landmarks(const on_pool& threads, workspace& memory, const nystrom_options& options,
                      const landmark_memory<T>& layout, const landmark_views<T>& x) {
    const padded_matrix<T> shape = layout.of_weights();
    const index rounds = options.rounds.value, size = shape.size();
    const double m = static_cast<double>(layout.landmarks);
    if (options.inverse == pseudo_inverse::rounds) {
        run_matrix_steps(threads, memory, layout.matrices(), inverse_rounds<T>::count_steps(rounds),
                         inverse_rounds<T>::operations(shape, rounds),
                         [&](arena& scratch, index i) {
                             return inverse_rounds<T>(shape, x.a.data + i * size,
                                                      x.p.data + i * size, rounds, false, scratch);
                         });
    } else {
        const double tolerance = options.tolerance_of<T>(layout.landmarks);
        for_each_task(
            threads.pool, memory, layout.matrices(),
            [&](index slot, index i) {
                pseudo_inverse_by_svd(shape, x.a.data + i * size, tolerance, x.p.data + i * size,
                                      memory.slot(slot));
            },
            count_threads(threads, 100 * m * m * m * static_cast<double>(layout.matrices())) - 1);
    }
}

/// G = P·F of every head.
template <class T>
void multiply_landmarks(const on_pool& threads, workspace& memory, const landmark_memory<T>& layout,
                        const landmark_views<T>& x) {
    const index m = layout.landmarks, columns = layout.value_dim;
    const index of_values = layout.of_values().size(), of_weights = layout.of_weights().size();
    for_each_product(threads, memory, layout.matrices(), m,
                     2.0 * static_cast<double>(m * m) * static_cast<double>(columns),
                     [&](index i, index first, index last) {
                         multiply_padded<false, T>(
                             first, last, {x.p.data + i * of_weights, x.p.strides[2]},
                             {x.f.data + i * of_values, x.f.strides[2]},
                             operand<T>{x.g.data + i * of_values, x.g.strides[2]}, columns, m);
                     });
}

/// Rows from `first` on of every head of a run become zero: those of padding.
template <class T>
void clear_rows_from(const on_pool& threads, workspace& memory, const nystrom_run& run, index first,
                     const tensor_view<T, 4>& x) {
    tensor_view<T, 4> rest = part_of_batch(x, run.first, run.count, x.extents[2]);
    if (first >= rest.extents[2]) return;
    rest.data += first * rest.strides[2];
    rest.extents[2] -= first;
    fill(threads.pool, memory, rest, T(0));
}

/// What a call's shape and options make of a run.
template <class T>
landmark_memory<T> layout_of(const nystrom_run& run, const attention_shape& shape,
                             const nystrom_options& options) {
    return {run.count, shape.heads,     run.landmarks,
            shape.dim, shape.value_dim, options.inverse != pseudo_inverse::none};
}

/// o of a run; fills `kept`, unless it is null.
template <class T, class Call, class Stats>
void forward_run(const Call& of, const nystrom_run& run, const tensor_view<T, 4>& all_o,
                 Stats* kept) {
    workspace& memory = of.call.memory();
    const on_pool threads = of.call.threads();
    const tensor_view<T, 4> o = part_of_batch(all_o, run.first, run.count, run.queries);
    clear_rows_from(threads, memory, run, run.landmarks > 0 ? run.queries : 0, all_o);
    if (run.landmarks == 0) return;

    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const landmark_memory<T> layout = layout_of<T>(run, of.shape(), of.options);
    T* numbers = nullptr;
    if (kept != nullptr) {
        kept->numbers.resize(static_cast<std::size_t>(layout.size()));
        numbers = kept->numbers.data();
    } else {
        numbers = own.take<T>(layout.size());
    }
    const landmark_views<T> x = layout.views(numbers);
    for (index i = 0; i < layout.matrices(); ++i) {
        layout.of_values().clear_padding(x.f.data + i * layout.of_values().size());
        if (layout.inverts)
            layout.of_weights().clear_padding(x.a.data + i * layout.of_weights().size());
    }
    const tensor_view<const T, 4> q = part_of_batch(of.call.q, run.first, run.count, run.queries);
    const tensor_view<const T, 4> k = part_of_batch(of.call.k, run.first, run.count, run.keys);
    const tensor_view<const T, 4> v = part_of_batch(of.call.v, run.first, run.count, run.keys);
    const auto parts = of.parts_of(run);
    const auto attend = [&](const tensor_view<T, 4>& to, auto stats_member, const auto& queries,
                            const auto& keys, const auto& values) {
        std::apply(
            [&](const auto&... part) {
                if (kept != nullptr)
                    attention_forward_into(to, kept->*stats_member, queries, keys, values, part...);
                else
                    attention_into(to, queries, keys, values, part...);
            },
            parts);
    };

    find_landmarks(threads, memory, q, x.q);
    find_landmarks(threads, memory, k, x.k);
    std::apply(
        [&](const auto&... part) {
            attend_in_pieces<T>(x.f, kept == nullptr ? nullptr : &kept->of_landmarks, x.q, k, v,
                                part...);
        },
        parts);
    if (layout.inverts) {
        const auto ones = unit_values<T>(run.count, of.shape().heads, run.landmarks, own);
        attend(x.a, &Stats::among_landmarks, x.q, x.k, ones);
        invert_landmarks(threads, memory, of.options, layout, x);
        multiply_landmarks(threads, memory, layout, x);
    }
    attend(o, &Stats::of_queries, q, x.k, x.g);
    if constexpr (Call::has_residual)
        add_convolutions(threads, memory, of.template take_weights<T>(own, 1), of.count_taps(), v,
                         o);
}

/// o of a checked call; fills `kept`, the stats of its normaliser, unless it is null.
template <class T, class Call, class Stats>
void nystrom_forward(const Call& of, const tensor_view<T, 4>& o, Stats* kept) {
    if (kept != nullptr) kept->begin();
    of.for_each_run([&](const nystrom_run& run) {
        forward_run<T>(of, run, o, kept == nullptr ? nullptr : &kept->open(run));
    });
    if (kept != nullptr) kept->end(of.shape(), of.options);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
