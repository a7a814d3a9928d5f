#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <optional>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/role.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/dense/kernel/elementwise.hpp>

/// \file
/// Sigmoid attention: each key by itself.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// σ(x + b); see elementwise.hpp. The number of a row is −b·log₂e.
template <class T>
struct sigmoid_function {
    std::optional<double> bias;

    T number(index n) const {
        const double b = bias.has_value() ? *bias : n > 0 ? -std::log(static_cast<double>(n)) : 0;
        return static_cast<T>(-b * std::numbers::log2e);
    }
    T factor(T) const { return T(1); }

    /// A key's weight is what it is whatever others there are, if the bias does not count them.
    merge_factors<T> merge(T&, T) const { return {T(1), T(1)}; }
    void check_merge() const {
        detail::require_argument(
            bias.has_value(),
            "heed::sigmoid has the bias -log n of the n keys that a row sees in its own part, but "
            "results that are to be merged must be those of one bias: heed::sigmoid.bias(b)");
    }
    bool operator==(const sigmoid_function&) const = default;

    [[gnu::always_inline]] vec<T> operator()(vec<T> number, vec<T> x) const {
        const vec<T> one(T(1)), exponent(T(-std::numbers::log2e));
        return one / (one + exp2_fast(fma(x, exponent, number)));
    }
    [[gnu::always_inline]] vec<T> gradient(vec<T>, vec<T>, vec<T> p, vec<T> dp) const {
        return (p * (vec<T>(T(1)) - p)) * dp;
    }
};

}  // namespace detail

/// p = σ(x + b) = 1/(1 + e^{−x−b}), b = −log n (arXiv 2409.04431); dx = p(1 − p) ⊙ dp. In attention
/// n = n_i, the keys that query i sees; alone it is the length of a row.
///
///     auto p = heed::sigmoid(x);
///     auto o = heed::attention(q, k, v, heed::causal, heed::sigmoid);
///     auto o = heed::attention(q, k, v, heed::sigmoid.bias(-4));
///
/// Rows do not sum to 1. −∞ gives 0, a NaN is NaN. See row_function for shapes, errors and cost.
class sigmoid_normaliser : public row_function<sigmoid_normaliser>, public normaliser_base {
  public:
    static constexpr bool needs_visible_count = true;

    constexpr sigmoid_normaliser() = default;

    /// The same b whatever n. Throws argument_error unless it is finite.
    sigmoid_normaliser bias(double b) const {
        detail::require_argument(std::isfinite(b), "heed::sigmoid: the bias is ", b,
                                 ", but must be finite");
        sigmoid_normaliser other;
        other.bias_ = b;
        return other;
    }

    /// For attention: a row block by block.
    template <class T>
    auto streaming(index) const {
        return detail::elementwise_stream<T, detail::sigmoid_function<T>>({bias_});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::elementwise_rows<T, detail::sigmoid_function<T>>{{bias_}};
    }
    template <class T>
    auto gradient() const {
        return detail::elementwise_backward_rows<T, detail::sigmoid_function<T>>{{bias_}};
    }

  private:
    std::optional<double> bias_;
};

/// σ(x + b), in attention and on rows: see sigmoid_normaliser.
inline constexpr sigmoid_normaliser sigmoid{};

}  // namespace heed::inline HEED_ARCHITECTURE
