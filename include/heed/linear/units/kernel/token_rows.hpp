#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/rows/rows.hpp>

/// \file
/// How units walk through [batch, sequence, channels]: a group of channels of one sequence is a
/// task, whose tokens come block after block, a channel a lane.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Tokens in a block.
inline constexpr index unit_block = 32;

/// Channels in a group at most: rows are read in long runs, and the group's state stays near.
template <class T>
inline constexpr index unit_group = 4096 / static_cast<index>(sizeof(T));

/// Channels in a group of a call: fewer than the most, if threads would else find no task. A
/// channel's numbers do not depend on its group.
template <class T>
index channels_of_group(const call_resources& resources, index batch, index channels, index most) {
    const index threads = resources.pool != nullptr ? resources.pool->NumThreads() + 1 : 1;
    index width = most;
    while (width > unit_group<T> / 16 && batch * count_blocks(channels, width) < threads)
        width /= 2;
    return width;
}

/// Rows of tokens that are asked for ahead of the one that is worked on: rows lie far apart, where
/// the processor does not look by itself.
inline constexpr index unit_rows_ahead = 4;

/// The channels of a task: `channels` of them from `first` on, `width` with those that fill the
/// last vector.
struct channel_group {
    index batch, first, channels, width;
};

/// f(the thread's arena, group) for every group of every sequence, `most` channels each, on the
/// call's threads.
template <class T, class F>
void for_each_group(const call_resources& resources, index batch, index channels, F&& f,
                    index most = unit_group<T>) {
    const index width = channels_of_group<T>(resources, batch, channels, most);
    const index groups = count_blocks(channels, width);
    for_each_task(resources.pool, *resources.memory, batch * groups, [&](index slot, index task) {
        arena& memory = resources.memory->slot(slot);
        const arena::scope scope(memory);
        const index first = task % groups * width;
        const index here = std::min(width, channels - first);
        f(memory, channel_group{task / groups, first, here, round_up(here, vec<T>::size)});
        stream_fence();
    });
}

/// f(first token, tokens) for every block, from the first to the last, or the other way.
template <class F>
void for_each_block(index tokens, F&& f) {
    for (index first = 0; first < tokens; first += unit_block)
        f(first, std::min(unit_block, tokens - first));
}
template <class F>
void for_each_block_backward(index tokens, F&& f) {
    for (index block = count_blocks(tokens, unit_block); block-- > 0;)
        f(block * unit_block, std::min(unit_block, tokens - block * unit_block));
}

/// Numbers of a block's tokens, whole vectors of channels in a row.
template <class T>
struct token_rows {
    T* data = nullptr;
    index stride = 0;
    bool streams = false;  ///< written past the caches

    T* operator[](index token) const { return data + token * stride; }
    /// Of whatever token: an address is all that is needed.
    [[gnu::always_inline]] void prefetch(index token, index c) const {
        if (!streams) heed::prefetch(data + token * stride + c);
    }
    template <class Vector>
    [[gnu::always_inline]] void put(Vector x, T* to) const {
        if (streams)
            x.stream(to);
        else
            x.store(to);
    }
};

/// Asks for what a token has at column c of each.
template <class... Rows>
[[gnu::always_inline]] inline void prefetch_column(index token, index c, const Rows&... rows) {
    (rows.prefetch(token, c), ...);
}

/// Whether a group's numbers are whole vectors where they lie.
template <class T>
bool is_dense(const tensor_view<T, 3>& x, const channel_group& group) {
    return x.strides[2] == 1 && group.channels == group.width;
}

/// Whether what is written where it lies goes past the caches: it is more than they hold, and whole
/// vectors of it are aligned.
template <class T>
bool is_streamed(const tensor_view<T, 3>& x) {
    constexpr index bytes = vec<T>::size * static_cast<index>(sizeof(T));
    return x.size() * static_cast<index>(sizeof(T)) >= streaming_bytes &&
           x.strides[0] % vec<T>::size == 0 && x.strides[1] % vec<T>::size == 0 &&
           reinterpret_cast<std::uintptr_t>(x.data) % bytes == 0;
}

/// A tensor that a task reads: where it lies if it is dense, and else a copy of each block.
template <class T>
class token_reader {
  public:
    token_reader(const tensor_view<const T, 3>& x, const channel_group& group, arena& memory)
        : from_(x), group_(group) {
        if (is_dense(x, group)) return;
        copy_ = memory.take<T>(unit_block * group.width);
        std::fill_n(copy_, unit_block * group.width, T(0));
    }

    token_rows<const T> operator()(index first, index tokens) const {
        if (copy_ == nullptr) return {&from_(group_.batch, first, group_.first), from_.strides[1]};
        for (index t = 0; t < tokens; ++t)
            for (index c = 0; c < group_.channels; ++c)
                copy_[t * group_.width + c] = from_(group_.batch, first + t, group_.first + c);
        return {copy_, group_.width};
    }

  private:
    tensor_view<const T, 3> from_;
    channel_group group_;
    T* copy_ = nullptr;
};

/// A tensor that a task writes: rows(…) are to be filled, done(…) brings them where they belong.
template <class T>
class token_writer {
  public:
    token_writer(const tensor_view<T, 3>& x, const channel_group& group, arena& memory)
        : to_(x), group_(group), streams_(is_streamed(x)) {
        if (!is_dense(x, group)) copy_ = memory.take<T>(unit_block * group.width);
    }

    token_rows<T> rows(index first) const {
        if (copy_ == nullptr)
            return {&to_(group_.batch, first, group_.first), to_.strides[1], streams_};
        return {copy_, group_.width};
    }
    void done(index first, index tokens) const {
        if (copy_ == nullptr) return;
        for (index t = 0; t < tokens; ++t)
            for (index c = 0; c < group_.channels; ++c)
                to_(group_.batch, first + t, group_.first + c) = copy_[t * group_.width + c];
    }

  private:
    tensor_view<T, 3> to_;
    channel_group group_;
    bool streams_;
    T* copy_ = nullptr;
};

/// `count` numbers in whole vectors, the rest of the last one 0.
template <class T>
T* padded_copy(const T* from, index count, index width, arena& memory) {
    T* const copy = memory.take<T>(width);
    std::copy_n(from, count, copy);
    std::fill(copy + count, copy + width, T(0));
    return copy;
}
template <class T>
T* filled(T number, index width, arena& memory) {
    T* const numbers = memory.take<T>(width);
    std::fill_n(numbers, width, number);
    return numbers;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
