#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Cache lengths: sequences of different lengths in one batch, each with its queries at its own
/// end.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::cache_lengths(lengths).
template <class Kept>
class cache_lengths_part : public positions_base {
  public:
    static constexpr bool keys_at_their_indices = true;

    explicit cache_lengths_part(Kept lengths) : lengths_{std::move(lengths)} {}

    void check(const attention_shape& shape) const { lengths_.check("heed::cache_lengths", shape); }

    template <class See>
    void inputs(See&& see) const {
        see("heed::cache_lengths", lengths_.kept.view());
    }

    index length(index batch) const { return lengths_.of(batch); }

    call_positions prepare(arena& scratch, const attention_shape& shape) const {
        return detail::queries_at_ends(scratch, shape, [this](index b) { return length(b); });
    }

  private:
    detail::lengths_of_sequences<Kept> lengths_;
};

/// Sequence b of the batch has lengths[b] keys, the first ones in memory, and its N queries stand
/// at their end: query i at lengths[b] − N + i, key j at j. Every sequence is computed as if it
/// were alone with its own keys, to the bit; what is behind them is never read. So decoding goes
/// with a cache for each sequence, one of which is filled further than another:
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::rotary(rope),
///                              heed::cache_lengths(lengths));
///
/// One length for each sequence, any vector of integers, which masks, modifiers, encodings and
/// scales take for their number of keys; tensors of scores and ids of keys have as many columns as
/// k has rows. Where a sequence has fewer keys than queries, the first ones stand before its first
/// key. Stands in the place of heed::positions.
///
/// The call throws shape_error if there is not one length a sequence, argument_error if one is
/// negative or more than the number of keys.
template <detail::vector_like Lengths>
[[nodiscard]] auto cache_lengths(Lengths&& lengths) {
    auto kept = detail::keep_vector("heed::cache_lengths", std::forward<Lengths>(lengths));
    return cache_lengths_part<decltype(kept)>(std::move(kept));
}

/// heed::cache_lengths({70, 64, 3})
inline auto cache_lengths(std::initializer_list<index> lengths) {
    return cache_lengths(std::vector<index>(lengths));
}

}  // namespace heed::inline HEED_ARCHITECTURE
