#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/sequence_ids.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/random.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>

/// \file
/// Noise on the scores: independent random numbers that a seed repeats.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Normal numbers of mean 0.
struct normal_distribution {
    static constexpr std::string_view name = "heed::normal_noise";
    double deviation;

    double draw(const random_numbers& numbers, index i, index j) const {
        return deviation * numbers.normal(i, j);
    }
};

/// Numbers that are evenly distributed between two.
struct uniform_distribution {
    static constexpr std::string_view name = "heed::uniform_noise";
    double low, high;

    double draw(const random_numbers& numbers, index i, index j) const {
        return low + (high - low) * numbers.uniform(i, j);
    }
};

/// Gumbel numbers: the largest of many exponential ones, less its expected growth.
struct gumbel_distribution {
    static constexpr std::string_view name = "heed::gumbel_noise";

    double draw(const random_numbers& numbers, index i, index j) const {
        return perturb::gumbel_noise::quantile(numbers.uniform(i, j));
    }
};

}  // namespace detail

/// The type of heed::normal_noise, heed::uniform_noise and heed::gumbel_noise.
template <class Distribution, class Sequences>
class noise_modifier : public modifier_base {
  public:
    static constexpr bool is_additive = true;

    noise_modifier(Distribution distribution, std::uint64_t seed, Sequences sequences)
        : distribution_(distribution), seed_(seed), sequences_(std::move(sequences)) {}

    void check(const attention_shape& shape) const { sequences_.check(Distribution::name, shape); }
    template <class See>
    void inputs(See&& see) const {
        sequences_.inputs(see);
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const random_numbers numbers(seed_, sequences_.of(i.batch), i.head);
        return [distribution = distribution_, numbers, position = i.position](
                   vec<T> s, const key_lanes<T>& j) {
            const auto key = detail::whole_positions(j.position);
            alignas(64) auto noise = detail::to_array(vec<T>(T(0)));
            for (std::size_t l = 0; l < noise.size() && static_cast<index>(l) < j.count; ++l)
                noise[l] = static_cast<T>(distribution.draw(numbers, position, key[l]));
            return s + vec<T>::load_aligned(noise.data());
        };
    }

  private:
    Distribution distribution_;
    std::uint64_t seed_;
    Sequences sequences_;
};

namespace detail {

template <class Distribution, class Sequences>
noise_modifier<Distribution, Sequences> make_noise(Distribution distribution, std::uint64_t seed,
                                                   Sequences sequences) {
    return {distribution, seed, std::move(sequences)};
}

inline normal_distribution checked_normal(double deviation) {
    require_argument(deviation >= 0 && std::isfinite(deviation),
                     "heed::normal_noise: the deviation is ", deviation,
                     ", but must be at least 0 and finite");
    return {deviation};
}
inline uniform_distribution checked_uniform(double low, double high) {
    require_argument(std::isfinite(low) && std::isfinite(high) && low <= high,
                     "heed::uniform_noise: the ends are ", low, " and ", high,
                     ", but must be finite, and the first not above the second");
    return {low, high};
}

}  // namespace detail

/// s + ε, ε independent normal numbers of mean 0 and this standard deviation (kexue 9593). A number
/// depends on the seed, the sequence's id, the query head and the positions of query and key
/// (rounded down), on nothing else: not on the sequence's place in the batch, threads, or chunks.
///
///     auto o = heed::attention(q, k, v, heed::normal_noise(0.5, seed));
///     auto o = heed::attention(q, k, v, heed::normal_noise(0.5, seed, ids));
///
/// `ids` has an integer for each sequence of the batch, any vector; without it all sequences get
/// the same noise. argument_error if the deviation is negative or not finite; the call throws
/// shape_error if there is not one id a sequence.
inline auto normal_noise(double deviation, std::uint64_t seed) {
    return detail::make_noise(detail::checked_normal(deviation), seed, detail::one_sequence{});
}
template <detail::vector_like Ids>
[[nodiscard]] auto normal_noise(double deviation, std::uint64_t seed, Ids&& ids) {
    return detail::make_noise(detail::checked_normal(deviation), seed,
                              detail::keep_sequence_ids(std::forward<Ids>(ids)));
}

/// The same with numbers evenly distributed in (low, high).
///
/// argument_error if the ends are not finite, or low is above high.
inline auto uniform_noise(double low, double high, std::uint64_t seed) {
    return detail::make_noise(detail::checked_uniform(low, high), seed, detail::one_sequence{});
}
template <detail::vector_like Ids>
[[nodiscard]] auto uniform_noise(double low, double high, std::uint64_t seed, Ids&& ids) {
    return detail::make_noise(detail::checked_uniform(low, high), seed,
                              detail::keep_sequence_ids(std::forward<Ids>(ids)));
}

/// The same with standard Gumbel numbers, −log(−log u): before softmax at a temperature τ each row
/// of attention is then a sample of Gumbel-softmax, near a one-hot choice of the key j with
/// probability softmax(s)_j as τ → 0 (arXiv 1611.01144, kexue 9085):
///
///     auto o = heed::attention(q, k, v, heed::gumbel_noise(seed), heed::softmax.temperature(0.1));
inline auto gumbel_noise(std::uint64_t seed) {
    return detail::make_noise(detail::gumbel_distribution{}, seed, detail::one_sequence{});
}
template <detail::vector_like Ids>
[[nodiscard]] auto gumbel_noise(std::uint64_t seed, Ids&& ids) {
    return detail::make_noise(detail::gumbel_distribution{}, seed,
                              detail::keep_sequence_ids(std::forward<Ids>(ids)));
}

}  // namespace heed::inline HEED_ARCHITECTURE
