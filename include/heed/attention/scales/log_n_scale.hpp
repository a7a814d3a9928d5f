#pragma once

#include <algorithm>
#include <cmath>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Scales that grow with log n_i, n_i the number of keys that query i sees: the entropy of
/// attention then hardly depends on the length.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// log n; 0 for a row that sees one key or none.
inline double log_of_count(index count) {
    return count < 2 ? 0.0 : std::log(static_cast<double>(count));
}

/// log base of a base of logarithms, above 1.
inline double log_of_base(const char* what, double base) {
    require_argument(base > 1 && std::isfinite(base), what, " is ", base,
                     ", but must be above 1 and finite");
    return std::log(base);
}

inline double finite_factor(const char* what, double factor) {
    require_argument(std::isfinite(factor), what, " is ", factor, ", but must be finite");
    return factor;
}

}  // namespace detail

/// The type of heed::log_n_scale(base).
class log_n_scale_part : public scale_base {
  public:
    static constexpr bool needs_visible_count = true;

    explicit log_n_scale_part(double log_base) : log_base_(log_base) {}

    double on_row(const query_row&, const attention_shape& shape, index visible) const {
        return detail::log_of_count(visible) / log_base_ * detail::inverse_root(shape.dim);
    }

  private:
    double log_base_;
};

namespace detail {

/// The gradient of a scale's κ.
struct learnable_kappa {
    template <class T>
    auto make_gradient(const attention_shape&) const {
        return make_scalar_gradient<T>();
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        check_vector_gradient("the gradient of kappa", gradient, 1);
    }
    template <class T, class View>
    void add_row_gradient(View gradient, const query_row&, double dot) const {
        T& sum = gradient_element(gradient, 0);
        sum = static_cast<T>(static_cast<double>(sum) + dot);
    }
};

}  // namespace detail

/// The type of heed::log_n_scale_kappa(κ).
class log_n_kappa_scale_part : public detail::learnable_kappa, public scale_base {
  public:
    static constexpr bool needs_visible_count = true;

    explicit log_n_kappa_scale_part(double kappa) : kappa_(kappa) {}

    double on_row(const query_row&, const attention_shape& shape, index visible) const {
        return kappa_ * detail::log_of_count(visible) / static_cast<double>(shape.dim);
    }
    double derivative(const attention_shape& shape, index visible) const {
        return detail::log_of_count(visible) / static_cast<double>(shape.dim);
    }

  private:
    double kappa_;
};

/// The type of heed::log_n_scale_after_training(L).
class log_n_scale_after_training_part : public scale_base {
  public:
    static constexpr bool needs_visible_count = true;

    explicit log_n_scale_after_training_part(double log_length) : log_length_(log_length) {}

    double on_row(const query_row&, const attention_shape& shape, index visible) const {
        return std::max(1.0, detail::log_of_count(visible) / log_length_) *
               detail::inverse_root(shape.dim);
    }

  private:
    double log_length_;
};

/// The entropy-invariant scale c_i = (log_base n_i)/√d (kexue 8823, 9034, 9588); at n_i = base it
/// is the standard one. Padding and other documents do not count in n_i.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::log_n_scale());
///
/// argument_error if the base is not above 1.
[[nodiscard]] inline log_n_scale_part log_n_scale(double base = 512) {
    return log_n_scale_part(detail::log_of_base("heed::log_n_scale: the base", base));
}

/// The κ form of the same: c_i = κ·log n_i / d (kexue 8823). κ can be learned.
///
/// argument_error if κ is not finite.
[[nodiscard]] inline log_n_kappa_scale_part log_n_scale_kappa(double kappa) {
    return log_n_kappa_scale_part(detail::finite_factor("heed::log_n_scale_kappa: kappa", kappa));
}

/// For a model that was trained without it on sequences of L tokens: c_i = max(1, log_L n_i)/√d
/// (kexue 9706), the standard scale up to L.
///
/// argument_error if L is not above 1.
[[nodiscard]] inline log_n_scale_after_training_part log_n_scale_after_training(double length) {
    return log_n_scale_after_training_part(
        detail::log_of_base("heed::log_n_scale_after_training: the length", length));
}

}  // namespace heed::inline HEED_ARCHITECTURE
