#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/detail/score_tensor.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// Relative scores: a number for each query and distance, those far away alike.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::relative_scores(t).
template <class Tensor, class Kept>
class relative_scores_modifier : public modifier_base {
  public:
    static constexpr bool is_additive = true;
    static constexpr bool by_position = true;

    explicit relative_scores_modifier(Kept values) : values_(std::move(values)) {
        const auto view = values_.view();
        detail::check_view("heed::relative_scores", view);
        const index distances = view.extents.back();
        detail::require_shape(distances % 2 == 1 && distances < (1 << 24),
                              "heed::relative_scores has ", distances,
                              " distances, but must have an odd number below 2^24: as many before "
                              "the query as behind it, and its own");
        reach_ = distances / 2;
    }

    void check(const attention_shape& shape) const {
        const auto all = table();
        const bool fits = (all.extents[0] == shape.batch || all.extents[0] == 1) &&
                          (all.extents[1] == shape.heads || all.extents[1] == 1) &&
                          all.extents[2] == shape.queries;
        detail::require_shape(fits, "heed::relative_scores has shape ", values_.view().extents,
                              ", but must have a row for each query of [batch, heads, queries] = ",
                              std::array{shape.batch, shape.heads, shape.queries},
                              "; a batch or heads of 1 serve all");
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::relative_scores", values_.view());
    }

    template <class T>
    auto on_row(const query_row& i) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar>;
        static_assert(same_scalar,
                      "heed: heed::relative_scores must have the scalar of q, k and v");
        if constexpr (same_scalar) {
            const auto all = detail::broadcast_over_scores(table());
            const index stride = table().strides[3];
            return row<T>{&all(i.batch, i.head, i.query, 0) + reach_ * stride, stride, reach_,
                          i.lane_position<T>()};
        } else {
            return [](vec<T> s, const key_lanes<T>&) { return s; };
        }
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_tensor_gradient<Tensor>(values_.view());
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape& shape) const {
        detail::check_bias_gradient("the gradient of heed::relative_scores", gradient,
                                    values_.view());
        const auto all = table();
        detail::require_shape(all.extents[0] == shape.batch && all.extents[1] == shape.heads,
                              "heed::relative_scores has shape ", values_.view().extents,
                              ", but to be learned must have rows of its own for each of [batch, "
                              "heads] = ",
                              std::array{shape.batch, shape.heads});
    }

    /// Of each query, the sums of the keys of a block that lie as far as the first and the last
    /// distance, or beyond. What lies between has an element for each key, which is written
    /// directly: no other task has that key, batch and head.
    template <class T>
    index partials() const {
        return 2 * table().extents[2];
    }

    template <class T, class View>
    void add_gradient(View gradient, T* partial, const query_row& i, const key_lanes<T>& j, vec<T>,
                      vec<T>, vec<T> g) const {
        const auto all = detail::rank4(gradient);
        const index stride = all.strides[3];
        T* here = &all(i.batch, i.head, i.query, 0) + reach_ * stride;
        T* ends = partial + 2 * i.query;
        const lanes<T> distance = j.position - i.lane_position<T>();
        if (heed::all(distance.offset == vec<T>::iota())) {
            if (last_of(distance) <= -reach_) {
                ends[0] += reduce_add(g);
                return;
            }
            if (distance.base >= reach_) {
                ends[1] += reduce_add(g);
                return;
            }
            if (stride == 1 && j.position.base == j.first && -reach_ < distance.base &&
                last_of(distance) < reach_) {
                T* to = here + distance.base;
                (vec<T>::load_partial(to, j.count) + g).store_partial(to, j.count);
                return;
            }
        }
        add_one_by_one(here, stride, ends, distance, j, g);
    }

    template <class T, class View>
    void finish_gradient(View gradient, const T* partials, const attention_shape& shape,
                         index blocks) const {
        const auto all = detail::rank4(gradient);
        for (index batch = 0; batch < shape.batch; ++batch)
            for (index head = 0; head < shape.heads; ++head)
                for (index block = 0; block < blocks; ++block)
                    for (index query = 0; query < shape.queries; ++query) {
                        all(batch, head, query, 0) += *partials++;
                        all(batch, head, query, 2 * reach_) += *partials++;
                    }
    }

  private:
    using scalar = scalar_of<decltype(std::declval<const Kept&>().view())>;

    auto table() const { return detail::rank4(values_.view()); }

    template <class T>
    static index last_of(const lanes<T>& distance) {
        return detail::sum(distance.base, vec<T>::size - 1);
    }
    /// Which distance from −reach to reach lane l has; fractions are rounded as in relative_bias.
    template <class T>
    static index clipped(const lanes<T>& distance, T offset, index reach) {
        const double exact = static_cast<double>(distance.base) + static_cast<double>(offset);
        const auto limit = static_cast<double>(reach);
        return static_cast<index>(std::clamp(std::ceil(exact), -limit, limit));
    }

    template <class T>
    struct row {
        const T* here;  ///< distance 0
        index stride;
        index reach;
        lanes<T> position;

        vec<T> operator()(vec<T> s, const key_lanes<T>& j) const {
            const lanes<T> distance = j.position - position;
            if (heed::all(distance.offset == vec<T>::iota())) {
                if (last_of(distance) <= -reach) return s + vec<T>(here[-reach * stride]);
                if (distance.base >= reach) return s + vec<T>(here[reach * stride]);
                if (stride == 1 && -reach <= distance.base && last_of(distance) <= reach)
                    return s + vec<T>::load(here + distance.base);
            }
            return s + one_by_one(distance, j.count);
        }

        /// Vectors that reach over the first or last distance, and positions of the caller's own.
        [[gnu::noinline]] vec<T> one_by_one(const lanes<T>& distance, index count) const {
            auto lane = detail::to_array(distance.offset);
            for (std::size_t l = 0; l < lane.size(); ++l)
                lane[l] = static_cast<index>(l) < count
                              ? here[clipped(distance, lane[l], reach) * stride]
                              : T(0);
            return vec<T>::load(lane.data());
        }
    };

    template <class T>
    [[gnu::noinline]] void add_one_by_one(T* here, index stride, T* ends, const lanes<T>& distance,
                                          const key_lanes<T>& j, vec<T> g) const {
        const auto offset = detail::to_array(distance.offset), gradient = detail::to_array(g);
        const auto at_index =
            detail::to_array((j.position - lanes<T>::consecutive(j.first)).number());
        for (std::size_t l = 0; l < offset.size() && static_cast<index>(l) < j.count; ++l) {
            const index d = clipped(distance, offset[l], reach_);
            if (d == -reach_) {
                ends[0] += gradient[l];
            } else if (d == reach_) {
                ends[1] += gradient[l];
            } else {
                // Keys elsewhere might share an element with keys of another task.
                detail::require_argument(
                    at_index[l] == T(0), "heed::relative_scores: key ",
                    j.first + static_cast<index>(l),
                    " stands elsewhere than at its index, but keys must not where it is learned");
                here[d * stride] += gradient[l];
            }
        }
    }

    Kept values_;
    index reach_ = 0;
};

/// s + t[b, h, i, clip(j − i, −R, R) + R], a number for each query and each distance up to R on
/// either side, and one for all beyond: what keys that depend on the distance alone add to the
/// scores, c·q_i·r_(j − i) (Shaw et al., arXiv 1803.02155), for t = c·q·rᵀ.
///
///     auto t = heed::project(q, heed::weights(c * r));          // r [2R + 1, dim]
///     auto o = heed::attention(q, k, v, heed::relative_scores(t));
///
/// t is [queries, 2R + 1], [heads, queries, 2R + 1] or [batch, heads, queries, 2R + 1], a batch or
/// heads of 1 serving all, in the scalar of q, k and v. Column R is the query itself, column R + 1
/// the key behind it. Rows belong to the queries of the call by their indices, distances are those
/// of positions; fractional j − i are rounded up. It can be learned: the gradient has t's shape and
/// kind; backward keeps two sums for each query and block of keys besides.
///
/// shape_error unless t has an odd number of columns, below 2^24; the call throws shape_error if
/// there is not a row for each query, and, to learn it, if batch or heads are not those of q.
/// Backward throws argument_error if it is learned and heed::positions has moved a key within R of
/// a query from its index.
template <tensor_like Tensor>
requires(rank_of<Tensor> >= 2 && rank_of<Tensor> <= 4)
    [[nodiscard]] auto relative_scores(Tensor&& t) {
    auto kept = detail::keep(std::forward<Tensor>(t));
    return relative_scores_modifier<std::remove_cvref_t<Tensor>, decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
