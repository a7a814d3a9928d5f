#pragma once

#include <cmath>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/target_rows.hpp>

/// \file
/// Cross-entropy with a weight for each class.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

inline double checked_smoothing(std::string_view of, double epsilon) {
    require_argument(epsilon >= 0 && epsilon <= 1, of, ": the label smoothing is ", epsilon,
                     ", but must lie in [0, 1]");
    return epsilon;
}

/// The vector, kept; an argument_error names a weight that is none.
template <vector_like Weights>
auto keep_class_weights(Weights&& weights) {
    auto kept = keep_vector("class_weights", std::forward<Weights>(weights));
    const auto w = kept.view();
    for (index c = 0; c < w.extents[0]; ++c) {
        const auto weight = static_cast<double>(w(c));
        require_argument(weight >= 0 && std::isfinite(weight), "class_weights: that of class ", c,
                         " is ", weight, ", but must be finite and not negative");
    }
    return kept;
}

template <class T, int Rank>
void check_class_weights(const tensor_view<T, Rank>& weights, index classes) {
    require_shape(weights.extents[0] == classes, "class_weights has ", weights.extents[0],
                  " elements and a row of x has ", classes,
                  ", but there must be one for each class");
}

/// q_c = w_c·((1 − ε)·[c = t] + ε/n).
template <class Weight>
struct labelled_targets {
    tensor_view<const Weight, 1> weights;
    double smoothing;

    template <class T>
    void fill(T* q, index label) const {
        const index n = weights.extents[0];
        const double even = smoothing / static_cast<double>(n);
        for (index c = 0; c < n; ++c) q[c] = static_cast<T>(even * static_cast<double>(weights(c)));
        q[label] = static_cast<T>((1 - smoothing + even) * static_cast<double>(weights(label)));
    }
};

}  // namespace detail

/// −Σ_c w_c·q_c·log p_c, p = softmax(x), q = (1 − ε)·onehot(t) + ε/n, a mean being over Σ w_t: the
/// type of heed::cross_entropy.class_weights(w).
template <class Kept>
class weighted_cross_entropy_loss : public detail::softmax_loss {
  public:
    explicit weighted_cross_entropy_loss(Kept weights, double epsilon = 0)
        : weights_(std::move(weights)), smoothing_(epsilon) {}

    weighted_cross_entropy_loss label_smoothing(double epsilon) const {
        return weighted_cross_entropy_loss(
            weights_, detail::checked_smoothing("heed::cross_entropy", epsilon));
    }

    /// For loss_function.
    void check(index classes) const { detail::check_class_weights(weights_.view(), classes); }
    auto class_weights_view() const { return weights_.view(); }
    double label_weight(index label) const { return static_cast<double>(weights_.view()(label)); }
    template <class T>
    auto rows(double scale) const {
        using weight = std::remove_const_t<std::remove_pointer_t<decltype(weights_.view().data)>>;
        const auto w = weights_.view();
        using targets = detail::labelled_targets<weight>;
        return detail::target_rows<T, targets>{targets{{w.data, w.extents, w.strides}, smoothing_},
                                               scale};
    }

  private:
    Kept weights_;
    double smoothing_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
