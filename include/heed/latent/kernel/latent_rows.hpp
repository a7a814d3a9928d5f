#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/kernel/schedule/each_row.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Rows [batch, sequence, ·] of a latent attention, and the heads that lie side by side in them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Where a call runs: heed::on(pool), heed::in(workspace).
struct latent_resources {
    on_pool threads{.pool = nullptr};
    in_workspace memory{&thread_workspace()};

    template <class... Extras>
    explicit latent_resources(const Extras&... extras) {
        static_assert(
            ((std::is_same_v<Extras, on_pool> || std::is_same_v<Extras, in_workspace>)&&...),
            "heed: beside its tensors, latent attention takes heed::on(pool) and "
            "heed::in(workspace), no more");
        (take(extras), ...);
    }

    arena& scratch() const { return memory.memory->slot(0); }
    /// f(row) for each row of x, on the threads.
    template <class T, class F>
    void each_row(const tensor_view<T, 3>& x, const F& f) const {
        for_each_row(threads.pool, *memory.memory, x.extents, f);
    }
    /// Threads beside the caller's that so many operations are worth: none for no operations, as
    /// those of a head without content, even where least_work is 0.
    index helpers_for(double operations) const {
        if (threads.pool == nullptr || !(operations > 0)) return 0;
        return static_cast<index>(std::clamp(operations / threads.least_work - 1, 0.0,
                                             static_cast<double>(threads.pool->NumThreads())));
    }
    /// f(i, resources) for i = 0 … count − 1, which together are so many operations: side by side
    /// where they are enough for several threads, each on one of them and in that thread's own
    /// workspace, or one after the other on all.
    template <class F>
    void share(index count, double operations, const F& f) const {
        const index helpers = std::min(helpers_for(operations), count - 1);
        if (helpers <= 0) {
            for (index i = 0; i < count; ++i) f(i, *this);
            return;
        }
        for_each_task(
            threads.pool, *memory.memory, count, [&](index, index i) { f(i, latent_resources()); },
            helpers);
    }

  private:
    void take(const on_pool& extra) { threads = extra; }
    void take(const in_workspace& extra) { memory = extra; }
    template <class Other>
    void take(const Other&) {}
};

/// Rows of one sequence, or of several, as rows of several.
template <class T, int Rank>
tensor_view<T, 3> rank3(const tensor_view<T, Rank>& x) {
    if constexpr (Rank == 3)
        return x;
    else
        return {x.data, {1, x.extents[0], x.extents[1]}, {0, x.strides[0], x.strides[1]}};
}

/// Dense rows.
template <class T>
tensor_view<T, 3> dense_rows(T* data, const std::array<index, 3>& extents) {
    return {data, extents, row_major_strides(extents)};
}
template <class T>
tensor_view<T, 3> scratch_rows(arena& scratch, const std::array<index, 3>& extents) {
    return dense_rows(scratch.take<T>(extents[0] * extents[1] * extents[2]), extents);
}
template <class T>
tensor_view<T, 3> rows_in(Eigen::Tensor<T, 3, Eigen::RowMajor>& x) {
    return view_traits<Eigen::Tensor<T, 3, Eigen::RowMajor>>::view(x);
}
template <class T>
tensor_view<const T, 3> rows_in(const Eigen::Tensor<T, 3, Eigen::RowMajor>& x) {
    return view_traits<Eigen::Tensor<T, 3, Eigen::RowMajor>>::view(x);
}
/// The first positions of sequences that begin with these rows.
inline const index* zero_positions(arena& scratch, index count) {
    index* const numbers = scratch.take<index>(count);
    std::fill_n(numbers, count, index(0));
    return numbers;
}
/// A saved tensor, made as large as that first.
template <class T>
tensor_view<T, 3> resized_rows(Eigen::Tensor<T, 3, Eigen::RowMajor>& x,
                               const std::array<index, 3>& extents) {
    x.resize(extents[0], extents[1], extents[2]);
    return rows_in(x);
}

/// Columns first … first + count − 1.
template <class T>
tensor_view<T, 3> columns_in(const tensor_view<T, 3>& x, index first, index count) {
    return {x.data + first * x.strides[2], {x.extents[0], x.extents[1], count}, x.strides};
}
/// Rows that hold `heads` heads side by side, as [batch, heads, sequence, count]: of each head
/// `count` columns from its `first` on.
template <class T>
tensor_view<T, 4> heads_in(const tensor_view<T, 3>& x, index heads, index first, index count) {
    const index step = x.extents[2] / heads * x.strides[2];
    return {x.data + first * x.strides[2],
            {x.extents[0], heads, x.extents[1], count},
            {x.strides[0], step, x.strides[1], x.strides[2]}};
}
/// Heads first … first + count − 1 of those.
template <class T>
tensor_view<T, 4> some_heads(const tensor_view<T, 4>& x, index first, index count) {
    return {x.data + first * x.strides[1],
            {x.extents[0], count, x.extents[2], x.extents[3]},
            x.strides};
}
/// The same heads of one token a sequence, as rows of one head.
template <class T>
tensor_view<T, 4> rows_of_heads(const tensor_view<T, 3>& x, index heads, index first, index count) {
    const index step = x.extents[2] / heads * x.strides[2];
    return {x.data + first * step,
            {x.extents[0], 1, count, x.extents[2] / heads},
            {x.strides[0], step, step, x.strides[2]}};
}
/// Rows as those of the one head of each sequence.
template <class T>
tensor_view<T, 4> one_head(const tensor_view<T, 3>& x) {
    return heads_in(x, 1, 0, x.extents[2]);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
