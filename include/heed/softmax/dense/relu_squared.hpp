#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/role.hpp>
#include <heed/core/simd.hpp>
#include <heed/rows/row_function.hpp>
#include <heed/softmax/dense/kernel/elementwise.hpp>
#include <heed/softmax/dense/kernel/weights.hpp>

/// \file
/// Squares of what is positive: relu(x)²/n, and relu(x)²/Σrelu(x)².

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// max(0, x), but NaN stays.
template <class T>
[[gnu::always_inline]] inline vec<T> relu(vec<T> x) {
    return max(vec<T>(T(0)), x);
}

/// relu(x)²; see weights.hpp.
template <class T>
struct relu_squared_weight {
    [[gnu::always_inline]] vec<T> operator()(vec<T> x) const {
        const vec<T> r = relu(x);
        return product(r, r);  // a bare product may be fused with the sum it goes into
    }
    [[gnu::always_inline]] vec<T> slope(vec<T> x) const { return relu(x) * vec<T>(T(2)); }
    /// Sums of 2^31 squares of it are within a float.
    T comfortable() const { return static_cast<T>(std::uint64_t(1) << 32); }
    /// relu(ux)², for x so large that relu(x)² is beyond T.
    struct shrunk_weight {
        vec<T> u;
        vec<T> operator()(vec<T> x) const { return relu_squared_weight()(x * u); }
        vec<T> slope(vec<T> x) const { return relu_squared_weight().slope(x * u) * u; }
    };
    shrunk_weight shrunk(vec<T> u) const { return {u}; }
    int degree() const { return 2; }
    bool operator==(const relu_squared_weight&) const = default;
    template <class G>
    [[gnu::always_inline]] void unrolled(G&& g) const {
        g(*this);
    }
};

/// relu(x)²/n; see elementwise.hpp. The number of a row is 1/n.
template <class T>
struct relu_squared_function {
    double divisor;  ///< 0: as many as there are

    T number(index n) const {
        const double all = divisor > 0 ? divisor : static_cast<double>(n);
        return static_cast<T>(all > 0 ? 1 / all : 0);
    }
    T factor(T number) const { return number; }

    /// Where n is that of a row, the rows of both are over the keys of both.
    merge_factors<T> merge(T& whole, T part) const {
        if (divisor > 0) return {T(1), T(1)};
        const auto keys = [](T number) {
            return number > T(0) ? std::round(1 / static_cast<double>(number)) : 0;
        };
        const double of_whole = keys(whole), of_part = keys(part), sum = of_whole + of_part;
        whole = static_cast<T>(sum > 0 ? 1 / sum : 0);
        return merge_factors<T>::of(of_whole, of_part, sum);
    }
    bool operator==(const relu_squared_function&) const = default;

    [[gnu::always_inline]] vec<T> operator()(vec<T>, vec<T> x) const {
        const vec<T> r = relu(x);
        return r * r;
    }
    [[gnu::always_inline]] vec<T> gradient(vec<T> number, vec<T> x, vec<T>, vec<T> dp) const {
        const vec<T> r = relu(x);
        return ((r + r) * number) * dp;
    }
};

}  // namespace detail

/// p = relu(x)²/n (GAU, arXiv 2202.10447); dx = 2·relu(x)/n ⊙ dp. In attention n = n_i, the keys
/// that query i sees; alone it is the length of a row. A constant n transfers better to other
/// lengths (kexue 9019): heed::relu_squared.over(n).
///
///     auto p = heed::relu_squared(x);
///     auto o = heed::attention(q, k, v, heed::causal, heed::relu_squared.over(512));
///
/// Rows do not sum to 1. −∞ gives 0, a NaN is NaN. See row_function for shapes, errors and cost.
class relu_squared_normaliser : public row_function<relu_squared_normaliser>,
                                public normaliser_base {
  public:
    static constexpr bool needs_visible_count = true;

    constexpr relu_squared_normaliser() = default;

    /// The same n for all rows. Throws argument_error unless it is positive and finite.
    relu_squared_normaliser over(double n) const {
        detail::require_argument(n > 0 && std::isfinite(n), "heed::relu_squared: n is ", n,
                                 ", but must be positive and finite");
        relu_squared_normaliser other;
        other.divisor_ = n;
        return other;
    }

    /// For attention: a row block by block.
    template <class T>
    auto streaming(index) const {
        return detail::elementwise_stream<T, detail::relu_squared_function<T>>({divisor_});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::elementwise_rows<T, detail::relu_squared_function<T>>{{divisor_}};
    }
    template <class T>
    auto gradient() const {
        return detail::elementwise_backward_rows<T, detail::relu_squared_function<T>>{{divisor_}};
    }

  private:
    double divisor_ = 0;
};

/// relu(x)²/n, in attention and on rows: see relu_squared_normaliser.
inline constexpr relu_squared_normaliser relu_squared{};

/// p = relu(x)²/Σrelu(x)²; dx = (2·relu(x)/Z) ⊙ (dp − p·dp).
///
///     auto p = heed::normalised_relu_squared(x);
///     auto o = heed::attention(q, k, v, heed::normalised_relu_squared);
///
/// A row without anything positive gives zeros; a NaN or +∞ makes its own row NaN. See row_function
/// for shapes, errors and cost.
class normalised_relu_squared_normaliser : public row_function<normalised_relu_squared_normaliser>,
                                           public normaliser_base {
  public:
    constexpr normalised_relu_squared_normaliser() = default;

    /// For attention: a row block by block.
    template <class T>
    auto streaming(index) const {
        return detail::weight_stream<T, detail::relu_squared_weight<T>>({});
    }

    /// For row_function.
    template <class T>
    auto forward() const {
        return detail::weight_rows<T, detail::relu_squared_weight<T>>();
    }
    template <class T>
    auto gradient() const {
        return detail::weight_backward_rows<T, detail::relu_squared_weight<T>>();
    }
};

/// relu(x)²/Σrelu(x)², in attention and on rows: see normalised_relu_squared_normaliser.
inline constexpr normalised_relu_squared_normaliser normalised_relu_squared{};

}  // namespace heed::inline HEED_ARCHITECTURE
