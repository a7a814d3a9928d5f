#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Scales that do not depend on what a query sees: 1/√d, a constant, a constant a head.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// 1/√d
inline double inverse_root(index dim) { return 1 / std::sqrt(static_cast<double>(dim)); }

}  // namespace detail

/// The type of heed::standard_scale.
struct standard_scale_part : scale_base {
    double on_row(const query_row&, const attention_shape& shape, index) const {
        return detail::inverse_root(shape.dim);
    }
};

/// c = 1/√d (arXiv 1706.03762, kexue 8620): what attention uses when it is given no scale.
inline constexpr standard_scale_part standard_scale{};

/// The type of heed::scale(c).
class constant_scale : public scale_base {
  public:
    constexpr explicit constant_scale(double factor) : factor_(factor) {}

    double on_row(const query_row&, const attention_shape&, index) const { return factor_; }

    void check(const attention_shape&) const {
        detail::require_argument(std::isfinite(factor_), "heed::scale: the factor is ", factor_,
                                 ", but must be finite");
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_scalar_gradient<T>();
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        detail::check_vector_gradient("the gradient of heed::scale", gradient, 1);
    }
    template <class T, class View>
    void add_row_gradient(View gradient, const query_row&, double dot) const {
        T& sum = detail::gradient_element(gradient, 0);
        sum = static_cast<T>(static_cast<double>(sum) + dot);
    }

  private:
    double factor_;
};

/// The type of heed::scale(per-head vector).
template <class Kept>
class head_scale : public scale_base {
  public:
    explicit head_scale(Kept factors) : factors_(std::move(factors)) {}

    double on_row(const query_row& i, const attention_shape&, index) const {
        return static_cast<double>(factors_.view()(i.head));
    }

    void check(const attention_shape& shape) const {
        const auto factors = factors_.view();
        detail::require_shape(factors.extents[0] == shape.heads, "heed::scale has ",
                              factors.extents[0], " factors, but there are ", shape.heads,
                              " query heads");
        for (index head = 0; head < shape.heads; ++head) {
            const auto factor = static_cast<double>(factors(head));
            detail::require_argument(std::isfinite(factor), "heed::scale: the factor of head ",
                                     head, " is ", factor, ", but must be finite");
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::scale", factors_.view());
    }

    template <class T>
    auto make_gradient(const attention_shape& shape) const {
        return detail::make_vector_gradient<T>(shape.heads);
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape& shape) const {
        detail::check_vector_gradient("the gradient of heed::scale", gradient, shape.heads);
    }
    template <class T, class View>
    void add_row_gradient(View gradient, const query_row& i, double dot) const {
        T& sum = detail::gradient_element(gradient, i.head);
        sum = static_cast<T>(static_cast<double>(sum) + dot);
    }

  private:
    Kept factors_;
};

/// The same c for every query (1 for T5; 2.5/√d is kexue 9812's simple choice). It can be learned.
///
///     auto o = heed::attention(q, k, v, heed::scale(1));
///
/// The call throws argument_error if c is not finite.
template <class Number>
requires std::is_arithmetic_v<Number> constant_scale scale(Number factor) {
    return constant_scale(static_cast<double>(factor));
}

/// A c for each query head: any vector of numbers. It can be learned.
///
/// The call throws shape_error if there is not one factor a head, argument_error if one is not
/// finite.
template <detail::vector_like Factors>
[[nodiscard]] auto scale(Factors&& factors) {
    auto kept = detail::keep_vector("heed::scale", std::forward<Factors>(factors));
    return head_scale<decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
