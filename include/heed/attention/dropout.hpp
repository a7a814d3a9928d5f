#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <heed/attention/detail/sequence_ids.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/role.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Dropout: probabilities that are left out of o at random, as a seed repeats it.

namespace heed::inline HEED_ARCHITECTURE {

/// What heed::dropout takes.
struct dropout_options {
    double rate = 0;         ///< the share that is left out, in [0, 1)
    std::uint64_t seed = 0;  ///< of the random numbers
};

namespace detail {

/// Which of a head's probabilities are kept, one at each pair of positions (i, j).
///
/// Sixteen bits decide on a key, below `least` against it. Sixteen counters have those of 128 keys,
/// a stretch: word w of counter l those of keys 16·w + l and, in its upper half, 64 + 16·w + l, so
/// that vectors of words are vectors of keys.
class dropout_plane {
  public:
    static constexpr index stretch = 128;

    dropout_plane(const random_numbers& numbers, std::uint32_t least)
        : numbers_(numbers), least_(least) {}

    /// Of the keys stretch·s … stretch·(s + 1) − 1: `kept` of those that are, 0 of the others.
    template <class T>
    void write_factors(index i, index s, T kept, T* factors) const {
        using flat = std::array<std::uint32_t, 64>;  // loops of 64 steps become vectors
        const auto words = std::bit_cast<flat>(numbers_.lanes_of_words<16>(i, 16 * s));
        const std::uint32_t least = least_;
        for (std::size_t l = 0; l < 64; ++l)
            factors[l] = (words[l] & 0xffff) >= least ? kept : T(0);
        for (std::size_t l = 0; l < 64; ++l)
            factors[64 + l] = (words[l] >> 16) >= least ? kept : T(0);
    }
    bool keeps(index i, index j) const {
        const index counter = (j >> 7) * 16 + (j & 15);
        const auto word = numbers_.words(i, counter)[static_cast<std::size_t>((j >> 4) & 3)];
        return ((j & 64) == 0 ? word & 0xffff : word >> 16) >= least_;
    }

  private:
    random_numbers numbers_;
    std::uint32_t least_;
};

}  // namespace detail

/// The type of heed::dropout(…).
template <class Sequences>
class attention_dropout : public detail::part_base<role::dropout> {
  public:
    attention_dropout(const dropout_options& options, Sequences sequences)
        : seed_(options.seed), sequences_(std::move(sequences)) {
        detail::require_argument(options.rate >= 0 && options.rate < 1,
                                 "heed::dropout: the rate is ", options.rate,
                                 ", but must be at least 0 and below 1");
        dropped_ = std::min(std::round(options.rate * steps), steps - 1);
    }

    void check(const attention_shape& shape) const { sequences_.check("heed::dropout", shape); }
    template <class See>
    void inputs(See&& see) const {
        sequences_.inputs(see);
    }

    /// The share that is left out: what was asked for, in whole steps of 2⁻¹⁶.
    double rate() const { return dropped_ / steps; }
    detail::dropout_plane plane(index batch, index head) const {
        return {random_numbers(seed_, sequences_.of(batch), head),
                static_cast<std::uint32_t>(dropped_)};
    }

  private:
    static constexpr double steps = 65536;

    std::uint64_t seed_;
    Sequences sequences_;
    double dropped_;  ///< of so many steps
};

/// o_i = Σ_j p_ij·m_ij/(1 − rate)·v_j, m_ij = 0 with probability `rate` and 1 otherwise (Srivastava
/// et al., "Dropout", JMLR 15, 2014): behind the normaliser, whose sums and stats are of all p. For
/// training; a rate of 0 changes no bit, others are rounded to whole steps of 2⁻¹⁶, in 1/(1 − rate)
/// too. m is a function of the seed, the sequence's id, the query
/// head and the positions of query and key (rounded down), and of nothing else: backward draws it
/// again, and it is the same for any number of threads, chunk of queries and place in the batch.
///
///     const auto drop = heed::dropout({.rate = 0.1, .seed = step}, ids);
///     auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, drop);
///     auto grad = heed::attention_backward(d_o, o, stats, q, k, v, heed::causal, drop);
///
/// `ids` has an integer for each sequence of the batch, any vector; without it all sequences get
/// the same m. argument_error unless 0 ≤ rate < 1; the call throws shape_error if there is not one
/// id a sequence. Costs half a random word a score, backward a whole one.
[[nodiscard]] inline auto dropout(const dropout_options& options) {
    return attention_dropout<detail::one_sequence>(options, {});
}
template <detail::vector_like Ids>
[[nodiscard]] auto dropout(const dropout_options& options, Ids&& ids) {
    auto kept = detail::keep_sequence_ids(std::forward<Ids>(ids));
    return attention_dropout<decltype(kept)>(options, std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
