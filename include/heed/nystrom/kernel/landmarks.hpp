#pragma once

#include <algorithm>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/kernel/matrix_steps.hpp>
#include <heed/nystrom/kernel/segments.hpp>

/// \file
/// The landmarks of a run, and what is made of them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All [batch, head, …], heads those of q: landmarks of k are there once for each query head.
template <class T>
struct landmark_views {
    tensor_view<T, 4> q, k;  ///< [landmark, dim]
    tensor_view<T, 4> f;     ///< [landmark, value_dim]: attention(q̃, k, v)
    tensor_view<T, 4> a;     ///< [landmark, landmark]: softmax(c·q̃·k̃ᵀ)
    tensor_view<T, 4> p;     ///< its pseudo-inverse
    tensor_view<T, 4> g;     ///< p·f; f where nothing is inverted
};

/// How they lie in memory.
template <class T>
struct landmark_memory {
    index batch, heads, landmarks, dim, value_dim;
    bool inverts;

    padded_matrix<T> of_values() const { return {landmarks, value_dim}; }
    padded_matrix<T> of_weights() const { return {landmarks, landmarks}; }
    index matrices() const { return batch * heads; }

    index size() const {
        const index values = matrices() * of_values().size();
        const index weights = matrices() * of_weights().size();
        return 2 * matrices() * landmarks * dim + values + (inverts ? values + 2 * weights : 0);
    }

    landmark_views<T> views(T* data) const {
        const auto take = [&](index columns, index stride, index matrix) {
            const tensor_view<T, 4> taken{
                data, {batch, heads, landmarks, columns}, {heads * matrix, matrix, stride, 1}};
            data += matrices() * matrix;
            return taken;
        };
        const auto take_padded = [&](const padded_matrix<T>& shape) {
            return take(shape.columns, shape.stride(), shape.size());
        };
        landmark_views<T> x;
        x.f = take_padded(of_values());
        x.g = inverts ? take_padded(of_values()) : x.f;
        if (inverts) {
            x.a = take_padded(of_weights());
            x.p = take_padded(of_weights());
        }
        x.q = take(dim, dim, landmarks * dim);
        x.k = take(dim, dim, landmarks * dim);
        return x;
    }
};

/// Landmarks that are one task's.
inline constexpr index landmarks_a_task = 8;

/// Segment means first … last − 1 of a head of x [batch, head, row, column], written to every head
/// of `to` that has it: to [batch, query head, landmark, column].
template <class S>
void find_some_landmarks(const tensor_view<const S, 4>& x, index batch, index head, index first,
                         index last, const tensor_view<S, 4>& to) {
    const index copies = to.extents[1] / x.extents[1];
    for (index i = first; i < last; ++i) {
        S* line = &to(batch, head * copies, i, 0);
        mean_of_rows(matrix_of(x, batch, head), segment_of(i, to.extents[2], x.extents[2]), line,
                     to.strides[3]);
        for (index copy = 1; copy < copies; ++copy)
            std::copy_n(line, x.extents[3], &to(batch, head * copies + copy, i, 0));
    }
}

/// All segment means of all heads.
template <class S>
void find_landmarks(const on_pool& threads, workspace& memory, const tensor_view<const S, 4>& x,
                    const tensor_view<S, 4>& to) {
    if (to.empty()) return;
    const index heads = x.extents[1], landmarks = to.extents[2];
    const index blocks = count_blocks(landmarks, landmarks_a_task);
    const auto some_of_a_head = [&](index, index task) {
        const index first = task % blocks * landmarks_a_task;
        find_some_landmarks(x, task / blocks / heads, task / blocks % heads, first,
                            std::min(landmarks, first + landmarks_a_task), to);
    };
    const double numbers = static_cast<double>(x.size());
    for_each_task(threads.pool, memory, x.extents[0] * heads * blocks, some_of_a_head,
                  count_threads(threads, 8 * numbers) - 1);
}

/// dx += the gradients of means, d [batch, head, segment, column], each of which has its share in
/// every row of its segment.
template <class S>
void spread_means(const on_pool& threads, workspace& memory, const tensor_view<const S, 4>& d,
                  const tensor_view<S, 4>& dx) {
    if (d.empty()) return;
    const index heads = dx.extents[1], rows = dx.extents[2], segments = d.extents[2];
    const index blocks = count_blocks(segments, landmarks_a_task);
    const auto some_of_a_head = [&](index, index task) {
        const index b = task / blocks / heads, h = task / blocks % heads;
        const tensor_view<const S, 2> from = matrix_of(d, b, h);
        const index first = task % blocks * landmarks_a_task;
        for (index i = first; i < std::min(segments, first + landmarks_a_task); ++i)
            add_to_rows(from.data + i * from.strides[0], from.strides[1],
                        segment_of(i, segments, rows), matrix_of(dx, b, h));
    };
    const double numbers = static_cast<double>(dx.size());
    for_each_task(threads.pool, memory, dx.extents[0] * heads * blocks, some_of_a_head,
                  count_threads(threads, 8 * numbers) - 1);
}

/// The way back of find_landmarks: dx += the gradients of landmarks, d [batch, query head,
/// landmark, column], dense, of all heads that have a landmark; d is overwritten.
template <class T>
void spread_landmarks(const on_pool& threads, workspace& memory, tensor_view<T, 4> d,
                      const tensor_view<T, 4>& dx) {
    if (d.empty()) return;
    const index heads = dx.extents[1], copies = d.extents[1] / heads;
    const index count = d.extents[2] * d.extents[3];  // numbers of a head
    for (index h = 0; h < d.extents[0] * heads; ++h) {
        T* sum = d.data + h * copies * count;
        for (index copy = 1; copy < copies; ++copy)
            for (index c = 0; c < count; ++c) sum[c] += sum[copy * count + c];
    }
    d.extents[1] = heads;
    d.strides[1] *= copies;
    spread_means<T>(threads, memory, d, dx);
}

/// A unit vector for each landmark: attention over them as values gives its own weights.
template <class T>
tensor_view<const T, 4> unit_values(index batch, index heads, index landmarks, arena& scratch) {
    T* ones = scratch.take<T>(landmarks * landmarks);
    std::fill_n(ones, landmarks * landmarks, T(0));
    for (index i = 0; i < landmarks; ++i) ones[i * (landmarks + 1)] = T(1);
    return {ones, {batch, heads, landmarks, landmarks}, {0, 0, landmarks, 1}};
}

/// f(matrix, first row, last row) for all rows of many small products of so many operations each.
template <class F>
void for_each_product(const on_pool& threads, workspace& memory, index matrices, index rows,
                      double operations, const F& f) {
    const index blocks = count_blocks(rows, product_rows);
    for_each_task(
        threads.pool, memory, matrices * blocks,
        [&](index, index task) {
            const index first = task % blocks * product_rows;
            f(task / blocks, first, std::min(rows, first + product_rows));
        },
        count_threads(threads, operations * static_cast<double>(matrices)) - 1);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
