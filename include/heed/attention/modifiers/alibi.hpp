#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include <Eigen/Core>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// ALiBi, attention with linear biases (arXiv 2108.12409).

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::alibi(slopes).
template <class Kept>
class alibi_modifier : public modifier_base {
  public:
    static constexpr bool is_additive = true;
    static constexpr bool by_position = true;

    explicit alibi_modifier(Kept slopes) : slopes_(std::move(slopes)) {}

    void check(const attention_shape& shape) const {
        const auto slopes = slopes_.view();
        detail::require_shape(slopes.extents[0] == shape.heads, "heed::alibi has ",
                              slopes.extents[0], " slopes, but there are ", shape.heads,
                              " query heads");
        for (index head = 0; head < shape.heads; ++head) {
            const auto slope = static_cast<double>(slopes(head));
            detail::require_argument(std::isfinite(slope), "heed::alibi: the slope of head ", head,
                                     " is ", slope, ", but must be finite");
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::alibi", slopes_.view());
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const vec<T> slope(static_cast<T>(slopes_.view()(i.head)));
        return [slope, position = i.lane_position<T>()](vec<T> s, const key_lanes<T>& j) {
            return fnma(slope, abs(position - j.position), s);
        };
    }

    template <class T>
    auto make_gradient(const attention_shape& shape) const {
        return detail::make_vector_gradient<T>(shape.heads);
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape& shape) const {
        detail::check_vector_gradient("the gradient of heed::alibi", gradient, shape.heads);
    }

    template <class T>
    index partials() const {
        return detail::lane_sum<T>::size;
    }

    template <class T, class View>
    void add_gradient(View, T* partial, const query_row& i, const key_lanes<T>& j, vec<T>, vec<T>,
                      vec<T> g) const {
        const vec<T> distance = abs(i.lane_position<T>() - j.position);
        detail::lane_sum<T>::add(partial, -distance, g);
    }

    template <class T, class View>
    void finish_gradient(View gradient, const T* partials, const attention_shape& shape,
                         index blocks) const {
        constexpr index size = detail::lane_sum<T>::size;
        for (index head = 0; head < shape.heads; ++head) {
            double sum = 0;
            for (index batch = 0; batch < shape.batch; ++batch) {
                const T* of_head = partials + (batch * shape.heads + head) * blocks * size;
                for (index block = 0; block < blocks; ++block)
                    sum += detail::lane_sum<T>::total(of_head + block * size);
            }
            detail::gradient_element(gradient, head) = static_cast<T>(sum);
        }
    }

  private:
    Kept slopes_;
};

/// s − slope_h·|i − j|, positions i and j; one slope for each query head, any vector of numbers. It
/// can be learned.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::alibi(heed::alibi_slopes(8)));
///
/// The call throws shape_error if there is not one slope a head, argument_error if one is not
/// finite.
template <detail::vector_like Slopes>
[[nodiscard]] auto alibi(Slopes&& slopes) {
    auto kept = detail::keep_vector("heed::alibi", std::forward<Slopes>(slopes));
    return alibi_modifier<decltype(kept)>(std::move(kept));
}

/// The paper's slopes: for a power of two of heads the geometric sequence 2^(−8h/heads), h = 1 …
/// heads; otherwise those of the next smaller power of two, then every other one of twice as many.
///
/// argument_error if there is not at least one head, or more than 2²⁴.
template <class T = float, std::integral Integer>
Eigen::Matrix<T, Eigen::Dynamic, 1> alibi_slopes(Integer heads) {
    detail::require_argument(
        std::cmp_greater_equal(heads, 1) && std::cmp_less_equal(heads, 1 << 24),
        "heed::alibi_slopes: the number of heads is ", heads, ", but must lie between 1 and 2^24");
    const auto count = static_cast<index>(heads);
    index power = 1;
    while (power <= count / 2) power *= 2;
    Eigen::Matrix<T, Eigen::Dynamic, 1> slopes(count);
    for (index head = 0; head < count; ++head) {
        const double exponent =
            head < power
                ? static_cast<double>(head + 1) / static_cast<double>(power)
                : static_cast<double>(2 * (head - power) + 1) / static_cast<double>(2 * power);
        slopes(head) = static_cast<T>(std::exp2(-8 * exponent));
    }
    return slopes;
}

}  // namespace heed::inline HEED_ARCHITECTURE
