#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Factors of the channels of keys of integers, for channels that are always larger than others.
///
/// What is stored of a key may depend on keys before it alone, or it would depend on how tokens
/// were cut into calls. So a page is divided by what the full page before it says of its channels,
/// and each key has a scale of its own for the rest.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The largest factor over the least.
inline constexpr float most_channel_factor = 4096;

/// Factors, 1 … 4096, of the channels of the next page: as the largest magnitudes in this one,
/// panels of integers, are to each other. The least is 1, so that dividing by them takes no number
/// further towards 0 than those of its least channel are.
inline void find_channel_factors(const scaled_rows_and_columns& page, index channels, float* to) {
    constexpr index width = panel_width<float>;
    std::fill_n(to, static_cast<std::size_t>(channels), 0.0F);
    for (index first = 0; first < key_block<float>; first += width)
        for (index c = 0; c < channels; ++c) {
            const std::int8_t* const numbers = page.data + first * channels + c * width;
            for (index l = 0; l < width; ++l)
                to[c] = std::max(
                    to[c], page.scale[first + l] * static_cast<float>(std::abs(int(numbers[l]))));
        }
    float largest = 0, smallest = std::numeric_limits<float>::infinity();
    for (index c = 0; c < channels; ++c) {
        to[c] *= page.factor[c];
        largest = std::max(largest, to[c]);
        smallest = std::min(smallest, to[c]);
    }
    const float least = std::max(smallest, largest / most_channel_factor);
    for (index c = 0; c < channels; ++c) to[c] = least > 0 ? std::max(to[c] / least, 1.0F) : 1.0F;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
