#pragma once

#include <array>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Rows that the next chunk reads, fetched while this one is multiplied: a chunk asks memory for a
/// few kilobytes of each tensor, then multiplies for microseconds, and by the next one the machine
/// no longer looks ahead by itself.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Lines of a block of rows, one after the other.
struct row_lines {
    static constexpr index line = 64;  ///< bytes

    const std::byte* next = nullptr;
    index left = 0;         ///< lines of the block
    index left_of_row = 0;  ///< of them in this row
    index a_row = 0;        ///< lines of a row
    index to_next_row = 0;  ///< bytes from the end of those
};

/// Lines of several blocks.
struct lines_ahead {
    row_lines now;                                     ///< what is being fetched
    const row_lines *block = nullptr, *end = nullptr;  ///< what follows
    index a_step = 1;                                  ///< lines that fetch() is for

    /// The next lines, if there are any. A product calls it once a step of its sums.
    [[gnu::always_inline]] void fetch() {
        for (index l = 0; l < a_step; ++l) fetch_line();
    }

  private:
    [[gnu::always_inline]] void fetch_line() {
        if (now.left == 0) {
            if (block == end) return;
            now = *block++;
        }
        prefetch(now.next);
        now.next += row_lines::line;
        --now.left;
        if (--now.left_of_row == 0) {
            now.next += now.to_next_row;
            now.left_of_row = now.a_row;
        }
    }
};

/// Rows of several tensors.
class rows_ahead {
  public:
    void clear() { count_ = 0; }

    /// x[batch, head, first … first + count − 1], if the numbers of a row are adjacent.
    template <class T>
    void add(const tensor_view<T, 4>& x, index batch, index head, index first, index count) {
        if (count <= 0 || x.strides[3] != 1 || count_ == most) return;
        constexpr auto bytes = static_cast<index>(sizeof(T));
        const T* row = x.data + batch * x.strides[0] + head * x.strides[1] + first * x.strides[2];
        const index lines = (x.extents[3] * bytes + row_lines::line - 1) / row_lines::line;
        blocks_[static_cast<std::size_t>(count_++)] = {
            reinterpret_cast<const std::byte*>(row), count * lines, lines, lines,
            x.strides[2] * bytes - lines * row_lines::line};
    }

    /// All of them, `a_step` at a time, while they stay as they are.
    lines_ahead lines(index a_step) const {
        return {{}, blocks_.data(), blocks_.data() + count_, a_step};
    }

  private:
    static constexpr index most = 8;

    std::array<row_lines, most> blocks_;
    index count_ = 0;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
