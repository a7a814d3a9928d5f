#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>

#include <heed/attention/attention.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/convolution.hpp>
#include <heed/nystrom/kernel/inverse_rounds_backward.hpp>
#include <heed/nystrom/kernel/inverse_svd.hpp>
#include <heed/nystrom/kernel/landmarks.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>
#include <heed/nystrom/kernel/nystrom_call.hpp>
#include <heed/nystrom/kernel/nystrom_forward.hpp>
#include <heed/nystrom/kernel/nystrom_learned.hpp>
#include <heed/nystrom/kernel/segments.hpp>
#include <heed/nystrom/nystrom_options.hpp>

/// \file
/// Nyström attention backward, in passes:
///
///     1. dv and dw of the convolution, and o without it
///     2. dq, dk̃, dG of o = attention(q, k̃, G)
///     3. dF = Pᵀ·dG, dP = dG·Fᵀ, dA by the way back of the inverse, dq̃, dk̃ of A
///     4. dq̃, dk, dv of F = attention(q̃, k, v)
///     5. dq and dk of the means

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What backward is given, and what it writes; of the whole call, or of a run.
template <class T>
struct nystrom_gradients {
    tensor_view<const T, 4> d_o, o;
    tensor_view<T, 4> dq, dk, dv;

    nystrom_gradients part(const nystrom_run& run) const {
        const auto rows = [&](const auto& x, index count) {
            return part_of_batch(x, run.first, run.count, count);
        };
        return {rows(d_o, run.queries), rows(o, run.queries), rows(dq, run.queries),
                rows(dk, run.keys), rows(dv, run.keys)};
    }
};

/// Rows whose products are summed by themselves.
inline constexpr index summed_rows = 64;

/// sums[head, tap] += the gradients of a convolution's weights.
template <class T>
void sum_convolutions(const on_pool& threads, workspace& memory, index taps_a_head,
                      const tensor_view<const T, 4>& x, const tensor_view<const T, 4>& d,
                      double* sums) {
    if (d.empty()) return;
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const index heads = d.extents[1], rows = d.extents[2], copies = heads / x.extents[1];
    const index blocks = count_blocks(rows, summed_rows), tasks = d.extents[0] * heads * blocks;
    double* partial = own.take<double>(tasks * taps_a_head);
    const double operations = 2 * static_cast<double>(taps_a_head) * static_cast<double>(d.size());
    for_each_task(
        threads.pool, memory, tasks,
        [&](index, index task) {
            const index b = task / blocks / heads, h = task / blocks % heads;
            const index first = task % blocks * summed_rows;
            sum_convolution<T>({nullptr, taps_a_head, taps_a_head / 2}, matrix_of(x, b, h / copies),
                               matrix_of(d, b, h), first, std::min(rows, first + summed_rows),
                               partial + task * taps_a_head);
        },
        count_threads(threads, operations) - 1);
    for (index task = 0; task < tasks; ++task)
        for (index t = 0; t < taps_a_head; ++t)
            sums[task / blocks % heads * taps_a_head + t] += partial[task * taps_a_head + t];
}

/// A dense copy of x.
template <class T>
tensor_view<T, 4> copy_heads(const on_pool& threads, workspace& memory,
                             const tensor_view<const T, 4>& x, arena& scratch) {
    const index heads = x.extents[1], rows = x.extents[2], columns = x.extents[3];
    T* data = scratch.take<T>(x.size());
    for_each_task(
        threads.pool, memory, x.extents[0] * heads,
        [&](index, index task) {
            const tensor_view<const T, 2> from = matrix_of(x, task / heads, task % heads);
            T* to = data + task * rows * columns;
            for (index i = 0; i < rows; ++i, to += columns)
                for (index c = 0; c < columns; c += vec<T>::size)
                    load_columns(from.data + i * from.strides[0], from.strides[1], c, columns - c)
                        .store_partial(to + c, columns - c);
        },
        count_threads(threads, 8 * static_cast<double>(x.size())) - 1);
    return {data, x.extents, row_major_strides(x.extents)};
}

/// dA of dP, which is overwritten, of every head.
template <class T>
void invert_landmarks_backward(const on_pool& threads, workspace& memory,
                               const nystrom_options& options, const landmark_memory<T>& layout,
                               const landmark_views<T>& x, T* dp, T* da) {
    const padded_matrix<T> shape = layout.of_weights();
    const index rounds = options.rounds.value, size = shape.size();
    const double m = static_cast<double>(layout.landmarks);
    if (options.inverse == pseudo_inverse::rounds) {
        using work = inverse_rounds_backward<T>;
        run_matrix_steps(threads, memory, layout.matrices(), work::count_steps(rounds),
                         work::operations(shape, rounds), [&](arena& scratch, index i) {
                             return work(shape, x.a.data + i * size, dp + i * size, da + i * size,
                                         rounds, scratch);
                         });
    } else {
        const double tolerance = options.tolerance_of<T>(layout.landmarks);
        for_each_task(
            threads.pool, memory, layout.matrices(),
            [&](index slot, index i) {
                pseudo_inverse_backward_by_svd(shape, x.a.data + i * size, tolerance, dp + i * size,
                                               da + i * size, memory.slot(slot));
            },
            count_threads(threads, 100 * m * m * m * static_cast<double>(layout.matrices())) - 1);
    }
}

/// dF = Pᵀ·dG and dP = dG·Fᵀ of every head; dP [matrix] padded.
template <class T>
void multiply_landmarks_backward(const on_pool& threads, workspace& memory,
                                 const landmark_memory<T>& layout, const landmark_views<T>& x,
                                 const tensor_view<T, 4>& dg, const tensor_view<T, 4>& df, T* dp) {
    const index m = layout.landmarks, columns = layout.value_dim;
    const index of_values = layout.of_values().size(), of_weights = layout.of_weights().size();
    const padded_matrix<T> turned_shape{columns, m};
    const double operations = 4.0 * static_cast<double>(m * m) * static_cast<double>(columns);
    for_each_task(
        threads.pool, memory, layout.matrices(),
        [&](index slot, index i) {
            arena& scratch = memory.slot(slot);
            const arena::scope mark(scratch);
            const operand<T> f{x.f.data + i * of_values, x.f.strides[2]},
                gradient{dg.data + i * of_values, dg.strides[2]},
                turned{scratch.take<T>(turned_shape.size()), turned_shape.stride()};
            turned_shape.clear(turned.data);
            transpose_padded<T>(0, columns, f, m, turned);
            multiply_padded<true, T>(0, m, {x.p.data + i * of_weights, x.p.strides[2]}, gradient,
                                     operand<T>{df.data + i * of_values, df.strides[2]}, columns,
                                     m);
            layout.of_weights().clear(dp + i * of_weights);
            multiply_padded<false, T>(0, m, gradient, turned,
                                      operand<T>{dp + i * of_weights, layout.of_weights().stride()},
                                      m, columns);
        },
        count_threads(threads, operations * static_cast<double>(layout.matrices())) - 1);
}

/// The gradients of a run. `learned` are those of the parts but the residual, to which its own are
/// added, `weight_sums` those of the convolution's weights.
template <class T, class Call, class Stats, class Learned>
void backward_run(const Call& of, const nystrom_run& run, const nystrom_gradients<T>& all,
                  const Stats& kept, const Learned& learned, double* weight_sums) {
    workspace& memory = of.call.memory();
    const on_pool threads = of.call.threads();
    const bool has_landmarks = run.landmarks > 0;
    clear_rows_from(threads, memory, run, has_landmarks ? run.queries : 0, all.dq);
    clear_rows_from(threads, memory, run, has_landmarks ? run.keys : 0, all.dk);
    clear_rows_from(threads, memory, run, has_landmarks ? run.keys : 0, all.dv);
    if (!has_landmarks) return;

    arena& own = memory.slot(0);
    const arena::scope mark(own);
    const landmark_memory<T> layout = layout_of<T>(run, of.shape(), of.options);
    const landmark_views<T> x = layout.views(const_cast<T*>(kept.numbers.data()));  // only read
    const tensor_view<const T, 4> q = part_of_batch(of.call.q, run.first, run.count, run.queries);
    const tensor_view<const T, 4> k = part_of_batch(of.call.k, run.first, run.count, run.keys);
    const tensor_view<const T, 4> v = part_of_batch(of.call.v, run.first, run.count, run.keys);
    const nystrom_gradients<T> part = all.part(run);
    const auto parts = of.parts_of(run);
    using input = tensor_view<const T, 4>;
    const auto differentiate = [&](const input& d_o, const input& o, const auto& stats,
                                   const input& queries, const input& keys, const input& values,
                                   const tensor_view<T, 4>& dq, const tensor_view<T, 4>& dk,
                                   const tensor_view<T, 4>& dv) {
        const arena::scope until_the_end(own);
        std::apply(
            [&](const auto&... view) {
                const auto here = std::make_tuple(scratch_like(view, own)...);
                std::apply(
                    [&](const auto&... mine) {
                        std::apply(
                            [&](const auto&... given) {
                                attention_backward_into(into(dq, dk, dv, mine...), d_o, o, stats,
                                                        queries, keys, values, given...);
                            },
                            parts);
                        (add_dense(mine, view), ...);
                    },
                    here);
            },
            learned);
    };
    const auto take_padded = [&](const padded_matrix<T>& shape) {
        T* data = own.take<T>(layout.matrices() * shape.size());
        std::fill_n(data, layout.matrices() * shape.size(), T(0));
        const index heads = of.shape().heads;
        return tensor_view<T, 4>{data,
                                 {run.count, heads, shape.rows, shape.columns},
                                 {heads * shape.size(), shape.size(), shape.stride(), 1}};
    };

    tensor_view<const T, 4> o = part.o;
    if constexpr (Call::has_residual) {
        const tensor_view<T, 4> copy = copy_heads(threads, memory, part.o, own);
        add_convolutions(threads, memory, of.template take_weights<T>(own, -1), of.count_taps(), v,
                         copy);
        o = copy;
    }

    const tensor_view<T, 4> d_landmark_q = scratch_like(x.q, own);
    const tensor_view<T, 4> d_landmark_k = scratch_like(x.k, own);
    const tensor_view<T, 4> more_q = scratch_like(x.q, own);
    const tensor_view<T, 4> dg = take_padded(layout.of_values());
    differentiate(part.d_o, o, kept.of_queries, q, x.k, x.g, part.dq, d_landmark_k, dg);
    tensor_view<T, 4> df = dg;
    if (layout.inverts) {
        df = take_padded(layout.of_values());
        const tensor_view<T, 4> dp = take_padded(layout.of_weights());
        const tensor_view<T, 4> da = take_padded(layout.of_weights());
        multiply_landmarks_backward(threads, memory, layout, x, dg, df, dp.data);
        invert_landmarks_backward(threads, memory, of.options, layout, x, dp.data, da.data);
        // Of unit vectors as values there is a gradient too, which nobody wants: into dP's memory.
        const auto ones = unit_values<T>(run.count, of.shape().heads, run.landmarks, own);
        const tensor_view<T, 4> more_k = scratch_like(x.k, own);
        differentiate(da, x.a, kept.among_landmarks, x.q, x.k, ones, more_q, more_k, dp);
        add_dense(more_k, d_landmark_k);
    }
    differentiate(df, x.f, kept.of_landmarks, x.q, k, v, d_landmark_q, part.dk, part.dv);
    if (layout.inverts) add_dense(more_q, d_landmark_q);
    spread_landmarks(threads, memory, d_landmark_q, part.dq);
    spread_landmarks(threads, memory, d_landmark_k, part.dk);

    if constexpr (Call::has_residual) {
        const index taps_a_head = of.count_taps();
        T* turned = const_cast<T*>(of.template take_weights<T>(own, 1));
        for (index h = 0; h < of.shape().heads; ++h)
            std::reverse(turned + h * taps_a_head, turned + (h + 1) * taps_a_head);
        add_convolutions<T>(threads, memory, turned, taps_a_head, part.d_o, part.dv);
        if (weight_sums != nullptr)
            sum_convolutions<T>(threads, memory, taps_a_head, v, part.d_o, weight_sums);
    }
}

/// The gradients of a checked call; `learned` and `of_weights` are those of the parts but the
/// residual, and of the residual if it is learned.
template <class T, class Call, class Stats, class Learned, class OfWeights>
void nystrom_backward(const Call& of, const nystrom_gradients<T>& all, const Stats& kept,
                      const Learned& learned, const OfWeights& of_weights) {
    workspace& memory = of.call.memory();
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    std::apply([&](const auto&... view) { (fill(nullptr, memory, view, T(0)), ...); }, learned);
    const index weights = of.shape().heads * of.count_taps();
    double* sums = nullptr;
    if constexpr (std::tuple_size_v < OfWeights >> 0) {
        sums = own.take<double>(weights);
        std::fill_n(sums, weights, 0.0);
    }
    std::size_t i = 0;
    of.for_each_run([&](const nystrom_run& run) {
        backward_run(of, run, all, kept.of(i++, run), learned, sums);
    });
    if constexpr (std::tuple_size_v < OfWeights >> 0) {
        const auto& to = std::get<0>(of_weights);
        for (index h = 0; h < to.extents[0]; ++h)
            for (index t = 0; t < to.extents[1]; ++t)
                to(h, t) = static_cast<T>(sums[h * to.extents[1] + t]);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
