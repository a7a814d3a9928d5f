#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>

#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/online/forward.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/program/make_program.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/convolution.hpp>
#include <heed/nystrom/kernel/few_keys.hpp>
#include <heed/nystrom/kernel/few_queries.hpp>
#include <heed/nystrom/kernel/inverse_rounds.hpp>
#include <heed/nystrom/kernel/inverse_svd.hpp>
#include <heed/nystrom/kernel/landmarks.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>
#include <heed/nystrom/kernel/nystrom_call.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/nystrom/nystrom_options.hpp>
#include <heed/softmax/softmax.hpp>

/// \file
/// Nyström attention forward, in passes over q, k and v:
///
///     1. q̃ = means of segments of q
///     2. F = attention(q̃, k, v), k̃ = means of segments of k, each as soon as its rows have passed
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

/// An attention, whatever parts it has, and where the statistics of its rows are kept, unless null.
template <class T>
struct landmark_attention {
    attention_program<T> program;
    softmax_statistics<T>* statistics;
};

/// Those that a run is made of.
template <class T>
struct landmark_attentions {
    landmark_attention<T> of_landmarks, among_landmarks, of_queries;
    const weight_rule<T>& weights;
    const softmax_normaliser& normaliser;  ///< whose rule that is
};

/// The passes of a run but the convolution.
template <class T>
void run_landmark_passes(const nystrom_options& options, const landmark_memory<T>& layout,
                         const landmark_views<T>& x, const tensor_view<const T, 4>& q,
                         const tensor_view<const T, 4>& k, const tensor_view<T, 4>& o,
                         const landmark_attentions<T>& all) {
    workspace& memory = all.of_queries.program.memory;
    const on_pool threads = all.of_queries.program.threads;
    find_landmarks(threads, memory, q, x.q);
    const auto find_theirs = [&](index head, index first, index last) {
        const index keys = k.extents[2], of = k.extents[1];
        find_some_landmarks(k, head / of, head % of, segments_within(first, layout.landmarks, keys),
                            segments_within(last, layout.landmarks, keys), x.k);
    };
    attend_with_few_queries(all.of_landmarks.program, all.normaliser, k, x.f,
                            all.of_landmarks.statistics, find_theirs);
    if (layout.inverts) {
        forward(all.among_landmarks.program, all.weights, x.a,
                reinterpret_cast<std::byte*>(all.among_landmarks.statistics));
        invert_landmarks(threads, memory, options, layout, x);
        multiply_landmarks(threads, memory, layout, x);
    }
    attend_to_few_keys(all.of_queries.program, all.weights, all.normaliser, q, o,
                       all.of_queries.statistics);
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
    const tensor_view<const T, 4> ones =
        unit_values<T>(run.count, of.shape().heads, run.landmarks, own);
    std::apply(
        [&]<class... Parts>(const Parts&... parts) {
            using call = attention_call<T, Parts...>;
            const call of_landmarks(x.q, k, v, parts...), among_landmarks(x.q, x.k, ones, parts...),
                of_queries(q, x.k, x.g, parts...);
            of_queries.template resolve<role::normaliser>([&](const auto&... chosen) {
                const softmax_normaliser& normaliser =
                    unwrap(the_part<role::normaliser>(softmax, chosen...));
                using rows = stats<T, softmax_normaliser>;
                const auto open = [&](const call& one, auto member) -> rows* {
                    if (kept == nullptr) return nullptr;
                    rows& opened = open_stats<softmax_normaliser>(kept->*member);
                    opened.begin(one.shape, normaliser);
                    return &opened;
                };
                const auto prepare = [&](const call& one, rows* opened) {
                    return landmark_attention<T>{make_program<T, false>(one, own),
                                                 opened == nullptr ? nullptr : opened->data()};
                };
                rows* const first = open(of_landmarks, &Stats::of_landmarks);
                rows* const second = open(among_landmarks, &Stats::among_landmarks);
                rows* const third = open(of_queries, &Stats::of_queries);
                const weight_rule_of<T, softmax_normaliser, false> weights(normaliser);
                run_landmark_passes<T>(
                    of.options, layout, x, q, k, o,
                    {prepare(of_landmarks, first), prepare(among_landmarks, second),
                     prepare(of_queries, third), weights, normaliser});
                if (kept == nullptr) return;
                first->end(of_landmarks.shape);
                second->end(among_landmarks.shape);
                third->end(of_queries.shape);
            });
        },
        of.parts_of(run));
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
