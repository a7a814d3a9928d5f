#pragma once

#include <optional>
#include <utility>
#include <variant>

#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// The scale of a call among landmarks: the same function of the same sequences in all three
/// softmaxes, however few keys one of them has.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Where an attention over landmarks stands in the whole call.
struct landmark_place {
    attention_shape shape;  ///< of the whole call
    index first_batch;      ///< the sequence that the attention calls 0
    index keys;             ///< what each query sees
};

/// A scale that is asked as if landmarks were not. What a scale says of a row depends on its head
/// and on how many keys it sees alone.
template <class Scale>
class landmark_scale : public scale_base {
  public:
    static constexpr bool normalises_query = Scale::normalises_query;
    static constexpr bool normalises_key = Scale::normalises_key;

    landmark_scale(const Scale& scale, const landmark_place& place)
        : scale_(&scale), place_(place) {}

    double on_row(query_row i, const attention_shape&, index) const {
        i.batch += place_.first_batch;
        return scale_->on_row(i, place_.shape, visible());
    }

    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        scale_->check_gradient(gradient, place_.shape);
    }
    template <class T, class View>
    void add_row_gradient(View gradient, query_row i, double dot) const {
        i.batch += place_.first_batch;
        scale_->template add_row_gradient<T>(gradient, i, dot);
    }
    template <class S = Scale>
    auto derivative(const attention_shape&, index) const
        -> decltype(std::declval<const S&>().derivative(attention_shape{}, index(0))) {
        return scale_->derivative(place_.shape, visible());
    }

  private:
    index visible() const { return Scale::needs_visible_count ? place_.keys : 0; }

    const Scale* scale_;
    landmark_place place_;
};

/// The same of a part that is a scale, learned or not, or a choice of them.
template <class Scale>
landmark_scale<Scale> scale_among_landmarks(const Scale& scale, const landmark_place& place) {
    return {scale, place};
}
template <class Scale>
learned<landmark_scale<Scale>> scale_among_landmarks(const learned<Scale>& scale,
                                                     const landmark_place& place) {
    return {landmark_scale<Scale>(scale.part, place)};
}
template <class Scale>
auto scale_among_landmarks(const std::optional<Scale>& scale, const landmark_place& place) {
    std::optional<decltype(scale_among_landmarks(*scale, place))> chosen;
    if (scale.has_value()) chosen.emplace(scale_among_landmarks(*scale, place));
    return chosen;
}
template <class... Scales>
auto scale_among_landmarks(const std::variant<Scales...>& scale, const landmark_place& place) {
    using result =
        std::variant<decltype(scale_among_landmarks(std::declval<const Scales&>(), place))...>;
    return std::visit([&](const auto& one) -> result { return scale_among_landmarks(one, place); },
                      scale);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
