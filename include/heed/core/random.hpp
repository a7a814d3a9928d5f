#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>

/// \file
/// Random numbers without a state: a number is a function of its address, not of what was drawn
/// before. So it is the same for any number of threads and any order of drawing. It is also the
/// same on every platform: what is not exact is a chain of fused multiply-adds, divisions and
/// square roots, which IEEE 754 defines to the last bit, and no function of the platform's libm.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Lanes of a random word, as many as there are counters.
template <std::size_t Lanes>
using word_lanes = std::array<std::uint32_t, Lanes>;

/// Four random words out of each counter and a key: Philox4x32-10 of Salmon, Moraes, Dror and Shaw,
/// "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Of counters beside one another compilers
/// make vectors.
template <std::size_t Lanes>
constexpr std::array<word_lanes<Lanes>, 4> philox(std::array<word_lanes<Lanes>, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        for (std::size_t l = 0; l < Lanes; ++l) {
            const std::uint64_t even = std::uint64_t{0xD2511F53} * counter[0][l];
            const std::uint64_t odd = std::uint64_t{0xCD9E8D57} * counter[2][l];
            const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
            const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
            counter[0][l] = high(odd) ^ counter[1][l] ^ key[0];
            counter[1][l] = low(odd);
            counter[2][l] = high(even) ^ counter[3][l] ^ key[1];
            counter[3][l] = low(even);
        }
        key[0] += 0x9E3779B9;  // the golden ratio
        key[1] += 0xBB67AE85;  // √3 − 1
    }
    return counter;
}

/// The same of one counter.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) {
    const auto words = philox<1>({{{counter[0]}, {counter[1]}, {counter[2]}, {counter[3]}}}, key);
    return {words[0][0], words[1][0], words[2][0], words[3][0]};
}

/// x with every bit depending on every bit of what was put in: the finaliser of splitmix64.
constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

/// Σ c[i]·xⁱ, each step fused, whatever the instruction set.
inline double exact_polynomial(double x, const std::array<double, 8>& c) {
    double sum = c[7];
    for (std::size_t i = 7; i-- > 0;) sum = std::fma(sum, x, c[i]);
    return sum;
}

/// log x of a normal positive number, within 2 ulp; see log_of in math.hpp.
inline double portable_log(double x) {
    using c = coefficients<double>;
    int k = 0;
    double m = std::frexp(x, &k);
    if (m < 0.70710678118654752440) {
        m *= 2;
        --k;
    }
    const double f = m - 1;
    const double s = f / (2 + f);
    const double z = s * s;
    double r = c::log[0];
    for (std::size_t i = 1; i < c::log.size(); ++i) r = std::fma(r, z, c::log[i]);
    const double exponent = k, half = 0.5 * f;
    // log(1 + f) = f − f²/2 + s·(f²/2 + z·r)
    const double tail = std::fma(s, std::fma(r, z, half * f), exponent * c::log2_low);
    return std::fma(exponent, c::log2_high, f - std::fma(half, f, -tail));
}

/// The number that a standard normal deviate stays below with probability p, 0 < p < 1. Wichura,
/// "Algorithm AS 241: the percentage points of the normal distribution", PPND16, 1988; relative
/// error about 1e-16.
inline double normal_quantile(double p) {
    const double q = p - 0.5;
    if (std::abs(q) <= 0.425) {
        const double r = std::fma(-q, q, 0.180625);
        return q *
               exact_polynomial(
                   r, {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                       1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                       3.3430575583588128105e4, 2.5090809287301226727e3}) /
               exact_polynomial(
                   r, {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2,
                       5.3941960214247511077e3, 2.1213794301586595867e4, 3.9307895800092710610e4,
                       2.8729085735721942674e4, 5.2264952788528545610e3});
    }
    const double r = std::sqrt(-portable_log(q < 0 ? p : 1 - p));
    const double magnitude =
        r <= 5
            ? exact_polynomial(r - 1.6, {1.42343711074968357734e0, 4.63033784615654529590e0,
                                         5.76949722146069140550e0, 3.64784832476320460504e0,
                                         1.27045825245236838258e0, 2.41780725177450611770e-1,
                                         2.27238449892691845833e-2, 7.74545014278341407640e-4}) /
                  exact_polynomial(r - 1.6, {1.0, 2.05319162663775882187e0,
                                             1.67638483018380384940e0, 6.89767334985100004550e-1,
                                             1.48103976427480074590e-1, 1.51986665636164571966e-2,
                                             5.47593808499534494600e-4, 1.05075007164441684324e-9})
            : exact_polynomial(r - 5, {6.65790464350110377720e0, 5.46378491116411436990e0,
                                       1.78482653991729133580e0, 2.96560571828504891230e-1,
                                       2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                       2.71155556874348757815e-5, 2.01033439929228813265e-7}) /
                  exact_polynomial(r - 5, {1.0, 5.99832206555887937690e-1,
                                           1.36929880922735805310e-1, 1.48753612908506148525e-2,
                                           7.86869131145613259100e-4, 1.84631831751005468180e-5,
                                           1.42151175831644588870e-7, 2.04426310338993978564e-15});
    return q < 0 ? -magnitude : magnitude;
}

}  // namespace detail

/// A plane of random numbers, one at each (i, j). The seed and the stream's ids (what the numbers
/// are for, a sequence, a head, …) choose the plane.
///
///     const heed::random_numbers noise(seed, sequence, head);
///     noise.normal(i, j);   // the same whenever and wherever it is asked for
class random_numbers {
  public:
    constexpr explicit random_numbers(std::uint64_t seed, std::integral auto... stream)
        : key_(detail::mix(seed)) {
        // The constant keeps ids of 0, and their number, from going unseen.
        ((key_ = detail::mix(key_ ^ (static_cast<std::uint64_t>(stream) + 0x9E3779B97F4A7C15))),
         ...);
    }

    /// Four words, of which each bit is random.
    constexpr std::array<std::uint32_t, 4> words(index i, index j = 0) const {
        const auto row = static_cast<std::uint64_t>(i), column = static_cast<std::uint64_t>(j);
        return detail::philox({low(column), high(column), low(row), high(row)},
                              {low(key_), high(key_)});
    }

    /// words(i, first + l) for each lane l: [word][lane].
    template <std::size_t Lanes>
    constexpr std::array<detail::word_lanes<Lanes>, 4> lanes_of_words(index i, index first) const {
        const auto row = static_cast<std::uint64_t>(i);
        std::array<detail::word_lanes<Lanes>, 4> counter{};
        for (std::size_t l = 0; l < Lanes; ++l) {
            const std::uint64_t column = static_cast<std::uint64_t>(first) + l;
            counter[0][l] = low(column);
            counter[1][l] = high(column);
            counter[2][l] = low(row);
            counter[3][l] = high(row);
        }
        return detail::philox(counter, {low(key_), high(key_)});
    }

    /// Evenly distributed in (0, 1), neither end included.
    template <std::floating_point T = double>
    constexpr T uniform(index i, index j = 0) const {
        // The middles of 2^(digits − 1) equal intervals: exact numbers, symmetric about 1/2.
        constexpr int bits = std::numeric_limits<T>::digits - 1;
        const auto word = words(i, j);
        const std::uint64_t integer = (std::uint64_t{word[0]} << 32 | word[1]) >> (64 - bits);
        return (static_cast<T>(integer) + T(0.5)) / static_cast<T>(std::uint64_t{1} << bits);
    }

    /// Normally distributed with mean 0 and variance 1.
    template <std::floating_point T = double>
    T normal(index i, index j = 0) const {
        return static_cast<T>(detail::normal_quantile(uniform<double>(i, j)));
    }

  private:
    static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
    static constexpr std::uint32_t high(std::uint64_t x) {
        return static_cast<std::uint32_t>(x >> 32);
    }

    std::uint64_t key_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
