#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/simd/pairs.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Numbers of 16 bits in a page become the pairs and quads that some machines multiply
/// (products/paired_products.hpp).
///
/// Rows of keys are quads as they lie; what else there is is put together once a page, for all
/// queries.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Rows 2p and 2p + 1 become row p of pairs, `stride` numbers from one to the next in both. Those
/// that are not there, up to `all`, are 0, whatever lies in their place.
template <class Storage>
void join_value_rows(const Storage* rows, index stride, index count, index all, float* to) {
    constexpr index size = vec<float>::size;
    const vec<float> zero(0.0F);
    for (index r = 0; r < all; r += 2, rows += 2 * stride, to += stride) {
        const bool is_whole = r + 1 < count;
        index c = 0;
        for (; is_whole && c + 2 * size <= stride; c += 2 * size)
            join_stored(rows + c, rows + stride + c, to + c);
        for (; c < stride; c += size)
            join_lanes(r < count ? load_stored(rows + c) : zero,
                       is_whole ? load_stored(rows + stride + c) : zero)
                .store(to + c);
    }
}

/// Panels of `depth` numbers a key become panels of quads.
template <class Storage>
void join_panels(const Storage* panels, index depth, index keys, double* to) {
    constexpr index size = vec<float>::size, width = panel_width<float>;
    for (index first = 0; first < keys; first += width, panels += depth * width)
        for (index c = 0; c < depth; c += 4)
            for (index key = 0; key < width; key += size, to += size) {
                const auto number = [=](index i) {
                    return c + i < depth ? load_stored(panels + (c + i) * width + key)
                                         : vec<float>(0.0F);
                };
                const vec<float> low = join_lanes(number(0), number(1));
                const vec<float> high = join_lanes(number(2), number(3));
                auto* const pairs = reinterpret_cast<float*>(to);
                zip_low(low, high).store(pairs);
                zip_high(low, high).store(pairs + size);
            }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
