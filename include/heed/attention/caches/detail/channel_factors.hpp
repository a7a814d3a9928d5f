#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Factors of the channels of keys of integers, for channels that are always larger than others.
///
/// What is stored of a key may depend on keys before it alone, or it would depend on how tokens
/// were cut into calls. So a page is divided by what the full page before it says of its channels,
/// and each key has a scale of its own for the rest. The first page has none before it: it is cut
/// into stretches, each twice as long as the one before, that are divided by what all keys before
/// them say.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The largest factor over the least.
inline constexpr float most_channel_factor = 4096;

/// Keys of a page in its first stretch; from there on stretches begin at this times 1, 2, 4, ….
inline constexpr index first_stretch = 32;
static_assert(first_stretch % panel_width<float> == 0);

/// Which stretch of a page a key is in.
constexpr index stretch_of(index key) {
    index stretch = 0;
    for (; key >= first_stretch; key /= 2) ++stretch;
    return stretch;
}
inline constexpr index stretches_a_page = stretch_of(key_block<float> - 1) + 1;
/// Whether one begins with a key, but the first.
constexpr bool begins_stretch(index key) {
    return key >= first_stretch && stretch_of(key) != stretch_of(key - 1);
}

/// Factors, 1 … 4096, of the channels of keys that come next: as the largest magnitudes in `count`
/// keys, panels of integers, are to each other; factors(key) are those of the panel that begins
/// with it. The least is 1, so that dividing by them takes no number further towards 0 than those
/// of its least channel are.
template <class Factors>
void find_channel_factors(const std::int8_t* keys, const float* scales, const Factors& factors,
                          index count, index channels, float* to) {
    constexpr index width = panel_width<float>;
    std::fill_n(to, static_cast<std::size_t>(channels), 0.0F);
    for (index first = 0; first < count; first += width) {
        const float* const factor = factors(first);
        for (index c = 0; c < channels; ++c) {
            const std::int8_t* const numbers = keys + first * channels + c * width;
            for (index l = 0; l < width; ++l)
                to[c] =
                    std::max(to[c], scales[first + l] *
                                        static_cast<float>(std::abs(int(numbers[l]))) * factor[c]);
        }
    }
    float largest = 0, smallest = std::numeric_limits<float>::infinity();
    for (index c = 0; c < channels; ++c) {
        largest = std::max(largest, to[c]);
        smallest = std::min(smallest, to[c]);
    }
    const float least = std::max(smallest, largest / most_channel_factor);
    for (index c = 0; c < channels; ++c) to[c] = least > 0 ? std::max(to[c] / least, 1.0F) : 1.0F;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
