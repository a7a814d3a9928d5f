#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The scale at which softmax's gradient is largest (kexue 9812): the α that maximises
/// α(1 − Σp²), Σp² taken for n scores that are α times random numbers s: E[e^{2αs}]/(n·E[e^{αs}]²).
///
/// No product feeds a sum but through heed's fma, so that the root has the same bits however the
/// compiler contracts.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// n as far as every whole number is a double.
inline void check_count(const char* what, double n) {
    require_argument(n >= 1 && n <= 9007199254740992.0, what, ": n is ", n,
                     ", but must lie between 1 and 2^53");
}

/// A root, and in how many steps it was found.
struct alpha_solution {
    double alpha;
    int steps;
};

/// The root of e^{α²}(1 + 2α²) = n. In u = α²: u + log(1 + 2u) = log n. The left side is concave
/// and increasing, so that Newton's steps from 0 climb to the root and never pass it, but by
/// rounding: the first that does not climb ends it. Their distance from it falls as its square
/// does: a million random n needed at most 8 of them.
inline alpha_solution find_gradient_maximising_alpha(double n) {
    const double target = std::log(n);
    double u = 0;
    for (int steps = 1;; ++steps) {
        const double next = u + (target - u - std::log1p(2 * u)) / (1 + 2 / (1 + 2 * u));
        if (!(next > u)) return {std::sqrt(u), steps};
        u = next;
    }
}

}  // namespace detail

/// α*(n) for normal s: argmax_α α(1 − e^{α²}/n), the root of e^{α²}(1 + 2α²) = n; α*(1) = 0.
/// 0.84·√(log n) is a fit of it.
///
/// argument_error if n is not in 1 … 2⁵³.
[[nodiscard]] inline double gradient_maximising_alpha(double n) {
    detail::check_count("heed::gradient_maximising_alpha", n);
    return detail::find_gradient_maximising_alpha(n).alpha;
}

namespace detail {

/// L(α) = log E[e^{αs}] and its slope E_α[s], for s of density ∝ (1 − s²)^{(d−3)/2} on [−1, 1],
/// the cosine of random directions in d dimensions: both without what they have in common at large
/// α, so that differences of them keep their digits.
struct cosine_moment {
    double excess;   ///< L(α) − α
    double deficit;  ///< 1 − L'(α)
};

/// E[e^{αs}] = ₀F₁(; d/2; α²/4) by its series, whose terms are all positive: they rise until about
/// α/2 and then fall.
inline cosine_moment cosine_moment_by_series(double alpha, double dim) {
    const double square = alpha * alpha / 4;
    double term = 1;
    double sum = 1;
    double weighted = 0;  // Σ k·term
    double scale = 0;     // the logarithm of what was divided out
    for (double k = 1;; ++k) {
        const double ratio = square / (k * (dim / 2 + k - 1));
        sum = fma(term, ratio, sum);
        term *= ratio;
        weighted = fma(k, term, weighted);
        if (sum > 1e250) {
            term *= 1e-250;
            sum *= 1e-250;
            weighted *= 1e-250;
            scale += 575.64627324851142;  // 250·log 10
        }
        if (k > alpha / 2 && k * term < 1e-17 * weighted) break;
        if (term == 0) break;
    }
    const double slope = alpha > 0 ? 2 * weighted / (alpha * sum) : 0;
    return {scale + std::log(sum) - alpha, 1 - slope};
}

/// The same at large α: ₀F₁ = Γ(ν+1)(α/2)^{−ν} I_ν(α), ν = d/2 − 1, by Debye's expansion of I_ν in
/// 1/w, w = √(ν² + α²) (Abramowitz and Stegun 9.7.7, 9.3.9). Beyond α = 1000 four terms leave less
/// than rounding does.
inline cosine_moment cosine_moment_by_debye(double alpha, double dim) {
    // u_k/ν^k = w^{−k}·Σ_m row[m]·y^m, y = (ν/w)²
    static constexpr std::array<std::array<double, 5>, 5> rows = {{
        {1},
        {3. / 24, -5. / 24},
        {81. / 1152, -462. / 1152, 385. / 1152},
        {30375. / 414720, -369603. / 414720, 765765. / 414720, -425425. / 414720},
        {4465125. / 39813120, -94121676. / 39813120, 349922430. / 39813120, -446185740. / 39813120,
         185910725. / 39813120},
    }};
    const double nu = dim / 2 - 1;
    const double w = std::hypot(nu, alpha);
    const double y = (nu / w) * (nu / w);
    double sum = 0;
    double slope = 0;  // of log sum, in units of −α/w²
    double power = 1;
    for (std::size_t k = 0; k < rows.size(); ++k) {
        double factor = power;
        for (std::size_t m = 0; m <= k; ++m) {
            sum = fma(factor, rows[k][m], sum);
            slope = fma(factor * static_cast<double>(k + 2 * m), rows[k][m], slope);
            factor *= y;
        }
        power /= w;
    }
    const double pi = 3.14159265358979323846;
    const double root_excess = nu * nu / (w + alpha);  // w − α
    const double excess = fma(-nu, std::log((nu + w) / 2), root_excess) + std::lgamma(nu + 1) -
                          0.5 * std::log(2 * pi * w) + std::log(sum);
    const double deficit =
        (nu + root_excess) / (nu + w) + alpha / (2 * w * w) + alpha / (w * w) * slope / sum;
    return {excess, deficit};
}

inline cosine_moment cosine_moment_at(double alpha, double dim) {
    return alpha <= 1000 ? cosine_moment_by_series(alpha, dim) : cosine_moment_by_debye(alpha, dim);
}

/// The logarithm of E[e^{2αs}]/E[e^{αs}]²·(1 + 2α(L'(2α) − L'(α))), which is n where α(1 − Σp²)
/// has its maximum.
inline double log_count_of_cosine_alpha(double alpha, double dim) {
    const cosine_moment once = cosine_moment_at(alpha, dim);
    const cosine_moment twice = cosine_moment_at(2 * alpha, dim);
    return twice.excess - 2 * once.excess + std::log1p(2 * alpha * (once.deficit - twice.deficit));
}

}  // namespace detail

/// α*(n, d) for s the cosine of random directions in d dimensions: argmax_α α(1 − Σp²),
/// E[e^{αs}] = ₀F₁(; d/2; α²/4); α*(1) = 0. 3.5·log n is a fit of it at d = 128.
///
/// Relative error below 1e-13; 4e-12 between α* = 100 and 1000, which a d below 6 or a very large n
/// reaches; 4·2⁻⁵²/(n − 1) for n < 1.01.
///
/// argument_error if n is not in 1 … 2⁵³ or d not in 2 … 2²⁴.
template <std::integral Integer>
[[nodiscard]] double gradient_maximising_cosine_alpha(double n, Integer dim) {
    detail::check_count("heed::gradient_maximising_cosine_alpha", n);
    detail::require_argument(std::cmp_greater_equal(dim, 2) && std::cmp_less_equal(dim, 1 << 24),
                             "heed::gradient_maximising_cosine_alpha: d is ", dim,
                             ", but must lie between 2 and 2^24");
    if (n == 1) return 0;
    const double target = std::log(n);
    const auto d = static_cast<double>(dim);
    double high = 1;
    while (detail::log_count_of_cosine_alpha(high, d) < target) high *= 2;
    double low = high > 1 ? high / 2 : 0;
    // Halving to the last bit: some fifty rounds, once for each scale that is made.
    for (;;) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) return middle;
        (detail::log_count_of_cosine_alpha(middle, d) < target ? low : high) = middle;
    }
}

/// The type of heed::gradient_maximising_scale(n).
class gradient_maximising_scale_part : public scale_base {
  public:
    explicit gradient_maximising_scale_part(double alpha) : alpha_(alpha) {}

    double on_row(const query_row&, const attention_shape& shape, index) const {
        return alpha_ * detail::inverse_root(shape.dim);
    }

  private:
    double alpha_;
};

/// c = α*(n)/√d, for scores q·k/√d that are normal (kexue 9812); n is the number of keys, half the
/// greatest length under a causal mask. The root is found once, when the part is made.
///
///     auto o = heed::attention(q, k, v, heed::gradient_maximising_scale(1024));
///
/// argument_error if n is not in 1 … 2⁵³.
[[nodiscard]] inline gradient_maximising_scale_part gradient_maximising_scale(double n) {
    return gradient_maximising_scale_part(gradient_maximising_alpha(n));
}

/// The type of heed::gradient_maximising_cosine_scale(n, d).
class gradient_maximising_cosine_scale_part : public normalised_scale<constant_scale, true, true> {
  public:
    gradient_maximising_cosine_scale_part(double alpha, index dim)
        : normalised_scale(constant_scale(alpha)), dim_(dim) {}

    void check(const attention_shape& shape) const {
        detail::require_shape(shape.dim == dim_, "heed::gradient_maximising_cosine_scale: d is ",
                              dim_, ", but q and k have dimension ", shape.dim);
    }

  private:
    index dim_;
};

/// q and k l2-normalised, c = α*(n, d) (kexue 9812): for scores that are the cosines of random
/// directions in d dimensions, d that of q and k. The root is found once, when the part is made.
///
///     auto o = heed::attention(q, k, v, heed::gradient_maximising_cosine_scale(1024, 64));
///
/// argument_error if n is not in 1 … 2⁵³ or d not in 2 … 2²⁴; the call throws shape_error if its
/// queries have another dimension.
template <std::integral Integer>
[[nodiscard]] gradient_maximising_cosine_scale_part gradient_maximising_cosine_scale(double n,
                                                                                     Integer dim) {
    return {gradient_maximising_cosine_alpha(n, dim), static_cast<index>(dim)};
}

}  // namespace heed::inline HEED_ARCHITECTURE
