#pragma once

#include <cmath>
#include <concepts>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/linear/kernel/rules/favor_rule.hpp>
#include <heed/linear/maps/random_features.hpp>
#include <heed/linear/part.hpp>

/// \file
/// FAVOR+: random features whose products are, on average, the exponentials of softmax attention.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::favor(features): of directions that the caller keeps (Features = const
/// random_features&), or of its own.
template <class Features>
class favor_map : public feature_map_base {
  public:
    static constexpr std::string_view name = "heed::favor";

    explicit favor_map(Features&& features) : features_(std::forward<Features>(features)) {}

    /// Features of ω and of −ω, twice as many: less variance for the same directions.
    [[nodiscard]] favor_map both_signs() const { return with(detail::favor_kind::both_signs, 0); }
    /// φ_f = m^−½(max(ω_f·x, 0) + ε), a kernel of its own and no estimate of the exponential.
    /// The call throws argument_error unless ε ≥ 0 is finite.
    [[nodiscard]] favor_map relu(double epsilon = 1e-3) const {
        return with(detail::favor_kind::relu, epsilon);
    }

    index count(index) const {
        return (kind_ == detail::favor_kind::both_signs ? 2 : 1) * features_.count();
    }
    void check_call(const linear_shape& shape) const {
        detail::require_shape(features_.dim() == shape.dim, "heed::favor: the features are of ",
                              features_.dim(), " dimensions, but q and k have ", shape.dim);
        detail::require_argument(epsilon_ >= 0 && std::isfinite(epsilon_),
                                 "heed::favor: epsilon is ", epsilon_,
                                 ", but must be finite and not negative");
    }

    template <class T, bool Backward>
    const detail::feature_rule<T>& rule(arena& scratch, const linear_shape&) const {
        return scratch.make<detail::favor_rule<T, Backward>>(scratch, features_, kind_, epsilon_);
    }

  private:
    favor_map with(detail::favor_kind kind, double epsilon) const {
        favor_map other = *this;
        other.kind_ = kind;
        other.epsilon_ = epsilon;
        return other;
    }

    Features features_;
    detail::favor_kind kind_ = detail::favor_kind::positive;
    double epsilon_ = 0;
};

/// φ_f(x) = m^−½ exp(ω_f·x − ‖x‖²/2), x scaled by d^−¼: for random directions ω the mean of
/// φ(q)·φ(k) is e^{q·k/√d}, so that o approaches softmax attention's as m^−½ (arXiv 2009.14794,
/// kexue 7921). Each feature is kept relative to a reference of its own: numbers of any size
/// neither overflow nor vanish.
///
///     const auto f = heed::random_features({.dim = 64, .count = 256, .seed = 1});
///     auto o = heed::linear_attention(q, k, v, heed::causal, heed::favor(f));
///
/// An lvalue is viewed and must outlive the part, a temporary is owned. shape_error unless the
/// features are of as many dimensions as q and k.
template <class Features>
requires std::same_as<std::remove_cvref_t<Features>, random_features>
[[nodiscard]] auto favor(Features&& features) {
    if constexpr (std::is_lvalue_reference_v<Features>)
        return favor_map<const random_features&>(features);
    else
        return favor_map<random_features>(std::move(features));
}

}  // namespace heed::inline HEED_ARCHITECTURE
