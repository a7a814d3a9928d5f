#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/kernel/candidates.hpp>

/// \file
/// The gradient of entmax in α.
///
/// With a = α − 1, g = p^{2−α}, p̃ = g/Σg and h = −p·log p (arXiv 1905.05702): ∂p/∂α = (p − p̃)/a² +
/// (h − p̃·Σh)/a, where both terms grow without bound as a → 0 and nearly cancel. With l = log p, σ
/// = (e^{−al} − 1 + al)/a², R = Σ p·e^{−al} = Σg, M = Σ p·l and S = Σ p·σ the same is
///
///     ∂p/∂α = p·(S − σ + a(σM − l·S))/R,
///
/// which has nothing left to cancel, and at a = 0 is ½p(Σp·log²p − log²p).

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// (eᶻ − 1 − z)/z², z ≥ 0: its series below 1.
template <class T>
vec<T> exponential_remainder(vec<T> z) {
    static constexpr std::array series = [] {
        std::array<T, 18> c{};  // 1/(m + 2)!, from the highest power on
        double factorial = 1;
        for (std::size_t m = 0; m < c.size(); ++m) {
            factorial *= static_cast<double>(m + 1);  // (m + 1)!
            c[c.size() - 1 - m] = static_cast<T>(1 / (factorial * static_cast<double>(m + 2)));
        }
        return c;
    }();
    const vec<T> far = (expm1(z) - z) / (z * z);
    return select(z < vec<T>(T(1)), polynomial(z, series), far);
}

/// Σ dp·∂p/∂α of one row; `slope` is α − 1.
template <class T>
T entmax_alpha_gradient(const T* p, const T* dp, index count, T slope) {
    const vec<T> zero(T(0)), one(T(1)), a(slope);
    // Beyond, σ would be too large for T, and nothing cancels: σ's share e^{−al} of R alone is
    // left.
    constexpr T largest = std::is_same_v<T, float> ? T(60) : T(600);
    // R, M, S, Σ p·dp·σ, Σ p·dp, Σ p·dp·l
    const T* gradient = dp;
    const auto [r, m, s, sigma_dp, p_dp, l_dp] = sums_over<6>(p, count, [&](vec<T> v, auto& sums) {
        const vec<T> d = vec<T>::load(gradient);
        gradient += vec<T>::size;
        const vec_mask<T> out = v <= zero;
        const vec<T> l = select(out, zero, log(select(out, one, v)));
        const vec<T> z = min(vec<T>(largest), -(l * a));
        const vec<T> sigma = l * l * exponential_remainder(z);
        const vec<T> weighted = select(out, zero, v * d);
        sums[0] = fma(select(out, zero, v), exp(z), sums[0]);
        sums[1] = fma(v, l, sums[1]);
        sums[2] = fma(v, sigma, sums[2]);
        sums[3] = fma(weighted, sigma, sums[3]);
        sums[4] += weighted;
        sums[5] = fma(weighted, l, sums[5]);
    });
    if (r == T(0)) return T(0);
    return fma(slope, fma(sigma_dp, m, -(s * l_dp)), fma(s, p_dp, -sigma_dp)) / r;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
