#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// KERPLE: biases that are kernels of the distance, with two parameters a head.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// −r₁·x^{r₂} and its derivatives.
struct kerple_power_kernel {
    static constexpr std::string_view name = "heed::kerple_power";
    static constexpr double largest_r2 = 2;

    static double value(double x, double r1, double r2) { return -r1 * std::pow(x, r2); }
    static double by_r1(double x, double, double r2) { return -std::pow(x, r2); }
    static double by_r2(double x, double r1, double r2) {
        return x == 0 ? 0 : -r1 * std::pow(x, r2) * std::log(x);
    }
};

/// −r₁·log(1 + r₂x) and its derivatives.
struct kerple_log_kernel {
    static constexpr std::string_view name = "heed::kerple_log";
    static constexpr double largest_r2 = std::numeric_limits<double>::max();

    static double value(double x, double r1, double r2) { return -r1 * std::log1p(r2 * x); }
    static double by_r1(double x, double, double r2) { return -std::log1p(r2 * x); }
    static double by_r2(double x, double r1, double r2) { return -r1 * x / (1 + r2 * x); }
};

/// A kernel with its parameters, r₁ and r₂ for each head.
template <class Kernel>
class kerple_bias {
  public:
    static constexpr bool is_constant_beyond = false;

    template <class R1, class R2>
    kerple_bias(const R1& r1, const R2& r2) {
        const auto first = checked_vector(Kernel::name, r1);
        const auto second = checked_vector(Kernel::name, r2);
        require_shape(first.extents == second.extents, Kernel::name, " has ", first.extents[0],
                      " values of r1, but ", second.extents[0], " of r2");
        for (index head = 0; head < first.extents[0]; ++head) {
            const auto a = static_cast<double>(first(head)), b = static_cast<double>(second(head));
            require_argument(a >= 0 && std::isfinite(a), Kernel::name, ": r1 of head ", head,
                             " is ", a, ", but must be at least 0 and finite");
            require_argument(b > 0 && b <= Kernel::largest_r2, Kernel::name, ": r2 of head ", head,
                             " is ", b, ", but must be above 0 and at most ", Kernel::largest_r2);
            r1_.push_back(a);
            r2_.push_back(b);
        }
    }

    index rows() const { return static_cast<index>(r1_.size()); }
    double value(index row, double distance) const {
        return Kernel::value(std::abs(distance), r1_[at(row)], r2_[at(row)]);
    }
    void check(const attention_shape& shape) const {
        require_shape(rows() == shape.heads, Kernel::name, " has parameters for ", rows(),
                      " heads, but there are ", shape.heads, " query heads");
    }

    index parameters() const { return 2; }
    template <class F>
    void add(index row, double distance, double g, index, index, F&& to) const {
        const double x = std::abs(distance), r1 = r1_[at(row)], r2 = r2_[at(row)];
        to(0, g * Kernel::by_r1(x, r1, r2));
        to(1, g * Kernel::by_r2(x, r1, r2));
    }
    template <class T, class View>
    void store(View gradient, index row, index, index, const double* sums) const {
        gradient(row, 0) = static_cast<T>(sums[0]);
        gradient(row, 1) = static_cast<T>(sums[1]);
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        using gradient = Eigen::Matrix<T, Eigen::Dynamic, 2>;
        return gradient(gradient::Zero(rows(), 2));
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        constexpr bool two_axes = rank_of<View> == 2;
        static_assert(two_axes, "heed: the gradient of KERPLE's parameters has two axes");
        if constexpr (two_axes) {
            check_view("the gradient of KERPLE", gradient);
            require_shape(gradient.extents[0] == rows() && gradient.extents[1] == 2,
                          "the gradient of ", Kernel::name, " has shape ", gradient.extents,
                          ", but must have [", rows(), ", 2]");
        }
    }

  private:
    static std::size_t at(index row) { return static_cast<std::size_t>(row); }

    std::vector<double> r1_, r2_;
};

template <class Kernel, class R1, class R2, std::integral Length>
auto make_kerple(const R1& r1, const R2& r2, Length length) {
    const index reach = table_length(Kernel::name, length);
    return distance_bias(kerple_bias<Kernel>(r1, r2), reach);
}

}  // namespace detail

/// s − r₁|i − j|^{r₂}, KERPLE's power kernel (arXiv 2205.09921, kexue 9431), r₁ ≥ 0 and 0 < r₂ ≤ 2
/// one for each query head, any vectors of numbers; they are read when the part is made. Distances
/// up to `length` come from a table, those beyond are computed one by one, slowly. It can be
/// learned: the gradient is [heads, 2], dr₁ and dr₂.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::kerple_power(r1, r2, n));
///
/// shape_error if there are not as many r₁ as r₂, argument_error if one is out of its range; the
/// call throws shape_error if there is not one of each a head.
template <detail::vector_like R1, detail::vector_like R2, std::integral Length>
[[nodiscard]] auto kerple_power(const R1& r1, const R2& r2, Length length) {
    return detail::make_kerple<detail::kerple_power_kernel>(r1, r2, length);
}

/// s − r₁·log(1 + r₂|i − j|), KERPLE's logarithmic kernel, r₁ ≥ 0 and r₂ > 0; all else as for
/// heed::kerple_power.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::kerple_log(r1, r2, n));
template <detail::vector_like R1, detail::vector_like R2, std::integral Length>
[[nodiscard]] auto kerple_log(const R1& r1, const R2& r2, Length length) {
    return detail::make_kerple<detail::kerple_log_kernel>(r1, r2, length);
}

}  // namespace heed::inline HEED_ARCHITECTURE
