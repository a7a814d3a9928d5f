#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Sandwich: the products of sinusoidal positions as a bias.

namespace heed::inline HEED_ARCHITECTURE {

/// What heed::sandwich takes beside the factors and the length.
struct sandwich_options {
    detail::any_integral dim = 128;  ///< twice the number of cosines: even, and at least 2
    double base = 10000;             ///< θ_m = base^(−2m/dim), m = 0 … dim/2 − 1
};

namespace detail {

class sandwich_bias {
  public:
    static constexpr bool is_constant_beyond = false;

    template <class Factors>
    sandwich_bias(const Factors& factors, const sandwich_options& options) {
        const index dim = options.dim.value;
        require_argument(dim >= 2 && dim % 2 == 0, "heed::sandwich: dim is ", dim,
                         ", but must be even and at least 2");
        require_argument(options.base > 1 && std::isfinite(options.base),
                         "heed::sandwich: base is ", options.base,
                         ", but must be finite and greater than 1");
        for (index m = 0; m < dim / 2; ++m)
            angular_.push_back(
                std::pow(options.base, -2.0 * static_cast<double>(m) / static_cast<double>(dim)));
        const auto given = checked_vector("heed::sandwich", factors);
        for (index head = 0; head < given.extents[0]; ++head) {
            const auto factor = static_cast<double>(given(head));
            require_argument(std::isfinite(factor), "heed::sandwich: the factor of head ", head,
                             " is ", factor, ", but must be finite");
            factors_.push_back(factor);
        }
    }

    index rows() const { return static_cast<index>(factors_.size()); }
    double value(index row, double distance) const {
        return factors_[static_cast<std::size_t>(row)] * sum(distance);
    }
    void check(const attention_shape& shape) const {
        require_shape(rows() == shape.heads, "heed::sandwich has ", rows(),
                      " factors, but there are ", shape.heads, " query heads");
    }

    /// The cosines are the same for all heads, and for both signs of a distance.
    void fill(index reach, double* table) const {
        for (index o = 0; o <= reach; ++o) {
            const double of_all = sum(static_cast<double>(o));
            for (std::size_t row = 0; row < factors_.size(); ++row) {
                double* centre = table + static_cast<index>(row) * (2 * reach + 1) + reach;
                centre[o] = centre[-o] = factors_[row] * of_all;
            }
        }
    }

  private:
    double sum(double distance) const {
        double total = 0;
        for (const double theta : angular_) total += std::cos(distance * theta);
        return total;
    }

    std::vector<double> factors_, angular_;
};

}  // namespace detail

/// s + λ_h Σ_m cos((i − j)θ_m), Sandwich (arXiv 2212.10356, kexue 9431): the products of sinusoidal
/// positions of `dim` dimensions, times a factor for each query head, any vector of numbers; it is
/// read when the part is made. Distances up to `length` come from a table, those beyond are
/// computed one by one, slowly.
///
///     auto o = heed::attention(q, k, v, heed::causal,
///                              heed::sandwich(heed::sandwich_factors(8), n));
///
/// argument_error if a factor is not finite, dim not even and at least 2, or the base not above 1;
/// the call throws shape_error if there is not one factor a head.
template <detail::vector_like Factors, std::integral Length>
[[nodiscard]] auto sandwich(const Factors& factors, Length length,
                            const sandwich_options& options) {
    const index reach = detail::table_length("heed::sandwich", length);
    return detail::distance_bias(detail::sandwich_bias(factors, options), reach);
}
template <detail::vector_like Factors, std::integral Length>
[[nodiscard]] auto sandwich(const Factors& factors, Length length) {
    return sandwich(factors, length, sandwich_options{});
}

/// The paper's factors, heads/(8h) for h = 1 … heads.
///
/// argument_error if there is not at least one head, or more than 2²⁴.
template <class T = float, std::integral Integer>
Eigen::Matrix<T, Eigen::Dynamic, 1> sandwich_factors(Integer heads) {
    detail::require_argument(
        std::cmp_greater_equal(heads, 1) && std::cmp_less_equal(heads, 1 << 24),
        "heed::sandwich_factors: the number of heads is ", heads,
        ", but must lie between 1 and 2^24");
    Eigen::Matrix<T, Eigen::Dynamic, 1> factors(static_cast<Eigen::Index>(heads));
    for (Eigen::Index head = 0; head < factors.size(); ++head)
        factors(head) =
            static_cast<T>(static_cast<double>(heads) / (8 * static_cast<double>(head + 1)));
    return factors;
}

}  // namespace heed::inline HEED_ARCHITECTURE
