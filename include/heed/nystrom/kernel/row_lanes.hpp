#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>

/// \file
/// Few rows, one a lane: the vector operand of products with rows that are read where they lie.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// to[c·width + r] = rows[r][c] for r < count, zero for the other r < width; c < depth. `width` is
/// that of whole vectors.
template <class T>
void pack_lanes(const contiguous_rows<T>& rows, index count, index depth, index width, T* to) {
    constexpr int size = static_cast<int>(vec<T>::size);
    for (index r = 0; r < width; r += size) {
        for (index c = 0; c < depth; c += size) {
            array_of<vec<T>, size> block;
            for (index l = 0; l < size; ++l)
                block[l] =
                    r + l < count ? vec<T>::load_partial(rows[r + l] + c, depth - c) : vec<T>(T(0));
            transpose(block);
            for (index l = 0; l < std::min<index>(size, depth - c); ++l)
                block[l].store(to + (c + l) * width + r);
        }
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
