#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/workspace.hpp>
#include <heed/projection/kernel/panels.hpp>
#include <heed/projection/kernel/row_set.hpp>
#include <heed/projection/kernel/sizes.hpp>
#include <heed/projection/kernel/tile.hpp>

/// \file
/// Many rows of x: a product of matrices, bound by the multiply-add units.
///
/// 1. Pack: rows of x into strips, a depth block after the other, once for all weights.
/// 2. Multiply: a task takes a block of rows and a group of panels. Depth block by depth block,
///    each panel is fetched once (into L1) and met by all strips of the block of rows (in L2); sums
///    wait in scratch memory for the next depth block.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows of x, packed: blocks of rows, in each depth block by depth block, strip by strip.
template <class T>
class packed_rows {
    static constexpr index height = tiles.score_rows;
    /// What packing writes too far stays within the strip.
    static constexpr index slack = vec<T>::size;

  public:
    packed_rows(const row_set<const T>& x, index first, index count, arena& memory)
        : x_(x), first_(first), count_(count), depth_blocks_(depth_blocks(x.length)) {
        const index blocks = count_blocks(count, projection.row_block);
        block_rows_ = round_up(count_blocks(count, blocks), height);
        block_size_ = block_rows_ * x.length + block_rows_ / height * depth_blocks_ * slack;
        data_ = memory.take<T>(row_blocks() * block_size_);
    }

    /// At least one, that of no inputs.
    static index depth_blocks(index inputs) {
        return std::max<index>(1, count_blocks(inputs, projection.depth_block));
    }

    index row_blocks() const { return count_blocks(count_, block_rows_); }
    index depth_blocks() const { return depth_blocks_; }
    index block_rows() const { return block_rows_; }
    index rows_of(index block) const { return std::min(block_rows_, count_ - block * block_rows_); }
    index first_row(index block) const { return first_ + block * block_rows_; }
    index depth_of(index depth_block) const {
        return std::min(projection.depth_block, x_.length - depth_block * projection.depth_block);
    }

    const T* strip(index block, index depth_block, index number) const {
        return data_ + at(block, depth_block, number);
    }

    void pack(index block, index depth_block) const {
        for (index row = 0; row < rows_of(block); row += height)
            pack_strip(first_row(block) + row, std::min(height, rows_of(block) - row),
                       depth_block * projection.depth_block, depth_of(depth_block),
                       data_ + at(block, depth_block, row / height));
    }

  private:
    index at(index block, index depth_block, index strip) const {
        const index before = block_rows_ * depth_block * projection.depth_block +
                             block_rows_ / height * depth_block * slack;
        return block * block_size_ + before + strip * (height * depth_of(depth_block) + slack);
    }

    void pack_strip(index row, index count, index first, index depth, T* to) const {
        constexpr index size = vec<T>::size;
        const index begin = first * x_.step;
        if (x_.step == 1) {
            array_of<const T*, height> rows;
            for (index r = 0; r < height; ++r) rows[r] = x_[row + std::min(r, count - 1)] + begin;
            gather_transposed<height>(
                [&](index r, index c) { return vec<T>::load(rows[r] + c); },
                [&](index r, index c, index n) { return vec<T>::load_partial(rows[r] + c, n); },
                count, depth, to);
        } else if (x_.offsets == nullptr && x_.stride == 1) {
            const T* const from = x_[row] + begin;
            for (index c = 0; c < depth; ++c)
                for (index r = 0; r < height; r += size)  // too far: the next column, or the slack
                    vec<T>::load_partial(from + c * x_.step + r, count - r)
                        .store(to + c * height + r);
        } else {
            for (index c = 0; c < depth; ++c)
                for (index r = 0; r < height; ++r)
                    to[c * height + r] = r < count ? x_[row + r][begin + c * x_.step] : T(0);
        }
    }

    row_set<const T> x_;
    index first_, count_;
    index depth_blocks_;
    index block_rows_ = 0, block_size_ = 0;
    T* data_ = nullptr;
};

/// What the last few of `strips` strips, each over `depth` inputs, bring nearer of the panel that
/// comes next: a share each.
class next_panel {
    static constexpr index most_shares = 8;

  public:
    next_panel() = default;
    /// `bytes` an input, from `panel` on.
    next_panel(const void* panel, index bytes, index depth, index strips)
        : from_(reinterpret_cast<std::uintptr_t>(panel)) {
        const index shares = std::min(strips, most_shares);
        first_strip_ = strips - shares;
        step_ = count_blocks(bytes, shares);
        share_ = step_ * depth;
    }

    read_ahead operator()(index strip) const {
        if (strip < first_strip_) return {};
        return {from_ + static_cast<std::uintptr_t>((strip - first_strip_) * share_),
                static_cast<std::uintptr_t>(step_)};
    }

  private:
    std::uintptr_t from_ = 0;
    index first_strip_ = 0, step_ = 0, share_ = 0;
};

/// The panels that a task meets, depth block by depth block.
template <class Source>
class panel_group {
    using T = typename Source::scalar;
    using S = typename Source::storage;
    static constexpr index width = Source::width, size = projection.depth_block * width;
    /// Weights of fewer bits are widened a panel at a time.
    static constexpr bool is_packed = in_panels<Source>;

  public:
    panel_group(const Source& weights, index first, index last, arena& memory)
        : weights_(weights),
          first_(first),
          last_(last),
          room_(memory.take<T>(is_packed ? size : (last - first) * size)) {}

    void begin(index depth_block, index depth) {
        input_ = depth_block * projection.depth_block;
        depth_ = depth;
        if constexpr (!is_packed) weights_.fetch(first_, last_, input_, depth, room_, size);
    }

    const T* operator[](index p) const {
        if constexpr (is_packed)
            return weights_.fetch(p, input_, depth_, room_);
        else
            return room_ + (p - first_) * size;
    }

    next_panel behind(index p, index strips) const {
        if constexpr (is_packed) {
            const bool goes_on = p + 1 < last_;
            const index input = goes_on ? input_ : input_ + projection.depth_block;
            if (input >= weights_.inputs) return {};
            return {weights_.at(goes_on ? p + 1 : first_, input), width * index(sizeof(S)), depth_,
                    strips};
        } else {
            if (p + 1 == last_) return {};
            return {(*this)[p + 1], width * index(sizeof(T)), depth_, strips};
        }
    }

  private:
    Source weights_;
    index first_, last_;
    T* room_;
    index input_ = 0, depth_ = 0;
};

/// One task: a block of rows of x against the panels `first` … `last` − 1.
template <class Source, class T>
void multiply_block(const packed_rows<T>& x, index block, const Source& weights, index first,
                    index last, const projected_rows<T>& y, bool adds_blocks, arena& memory) {
    constexpr index width = Source::width, height = tiles.score_rows;
    const index depth_blocks = x.depth_blocks(), rows = x.rows_of(block);
    const arena::scope scope(memory);
    panel_group<Source> panels(weights, first, last, memory);
    T* const partial =
        depth_blocks > 1 ? memory.take<T>((last - first) * x.block_rows() * width) : nullptr;
    for (index depth_block = 0; depth_block < depth_blocks; ++depth_block) {
        const index depth = x.depth_of(depth_block);
        depth_step<T> step{nullptr, depth_block == 0, depth_block + 1 == depth_blocks, adds_blocks};
        panels.begin(depth_block, depth);
        for (index p = first; p < last; ++p) {
            const T* const panel = panels[p];
            const next_panel next = panels.behind(p, count_blocks(rows, height));
            for (index row = 0; row < rows; row += height) {
                if (partial != nullptr)
                    step.partial = partial + ((p - first) * x.block_rows() + row) * width;
                multiply_strip(x.strip(block, depth_block, row / height), panel, depth, step,
                               next(row / height), y, x.first_row(block) + row,
                               std::min(height, rows - row), p * width);
            }
        }
    }
}

/// All rows of x against all weights.
template <class Source, class T>
void multiply_many(const row_set<const T>& x, const Source& weights, const projected_rows<T>& y,
                   bool adds_blocks, Eigen::ThreadPoolInterface* pool, workspace& memory,
                   index helpers) {
    // Packed rows take a few megabytes, whatever x takes.
    constexpr index most_bytes = index(16) << 20;
    const index row_bytes = std::max<index>(1, x.length) * static_cast<index>(sizeof(T));
    const index at_once =
        std::max<index>(1, most_bytes / row_bytes / projection.row_block) * projection.row_block;
    const index panels = count_blocks(weights.outputs, Source::width);
    for (index row = 0; row < x.count; row += at_once) {
        const arena::scope scope(memory.slot(0));
        const packed_rows<T> rows(x, row, std::min(at_once, x.count - row), memory.slot(0));
        const index blocks = rows.row_blocks(), depth_blocks = rows.depth_blocks();
        for_each_task(
            pool, memory, blocks * depth_blocks,
            [&](index, index task) { rows.pack(task / depth_blocks, task % depth_blocks); },
            helpers);
        // Four tasks a thread at least, if there are as many panels.
        const index shared = helpers > 0 ? panels * blocks / (4 * (helpers + 1)) : panels;
        const index group = std::clamp<index>(shared, 1, projection.panel_group);
        for_each_task(
            pool, memory, blocks * count_blocks(panels, group),
            [&](index slot, index task) {
                const index first = task / blocks * group;
                multiply_block(rows, task % blocks, weights, first, std::min(panels, first + group),
                               y, adds_blocks, memory.slot(slot));
            },
            helpers);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
