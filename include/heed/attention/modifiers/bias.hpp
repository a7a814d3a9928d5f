#pragma once

#include <type_traits>
#include <utility>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/detail/score_tensor.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/view.hpp>

/// \file
/// An additive bias: a number for each score, from memory.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::bias(tensor).
template <class Tensor, class Kept>
class bias_modifier : public modifier_base {
  public:
    static constexpr bool is_additive = true;

    explicit bias_modifier(Kept values) : values_(std::move(values)) {}

    void check(const attention_shape& shape) const {
        detail::check_broadcast("heed::bias", values_.view(), shape);
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::bias", values_.view());
    }

    template <class T>
    auto on_row(const query_row& i) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar>;
        static_assert(same_scalar, "heed: heed::bias must have the scalar of q, k and v");
        if constexpr (same_scalar) {
            const auto all = detail::broadcast_over_scores(values_.view());
            return row<T>{&all(i.batch, i.head, i.query, 0), all.strides[3], all.strides[2]};
        } else {
            return [](vec<T> s, const key_lanes<T>&) { return s; };
        }
    }

    /// The bias's own shape; what is broadcast is summed.
    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_tensor_gradient<Tensor>(values_.view());
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        detail::check_bias_gradient("the gradient of heed::bias", gradient, values_.view());
    }

    /// Where a number serves all keys, a key block sums up its share for each query.
    template <class T>
    index partials() const {
        const auto all = detail::rank4(values_.view());
        return all.extents[3] == 1 ? all.extents[2] : 0;
    }

    template <class T, class View>
    void add_gradient(View gradient, T* partial, const query_row& i, const key_lanes<T>& j, vec<T>,
                      vec<T>, vec<T> g) const {
        const auto all = detail::broadcast_over_scores(gradient);
        if (all.extents[3] == 1) {
            partial[all.extents[2] == 1 ? 0 : i.query] += reduce_add(g);
            return;
        }
        T* to = &all(i.batch, i.head, i.query, j.first);
        if (all.strides[3] == 1) {
            (vec<T>::load_partial(to, j.count) + g).store_partial(to, j.count);
        } else {
            (vec<T>::load_strided(to, all.strides[3], j.count) + g)
                .store_strided(to, all.strides[3], j.count);
        }
    }

    template <class T, class View>
    void finish_gradient(View gradient, const T* partials, const attention_shape& shape,
                         index blocks) const {
        const auto all = detail::broadcast_over_scores(gradient);
        if (all.extents[3] != 1) return;
        for (index batch = 0; batch < shape.batch; ++batch)
            for (index head = 0; head < shape.heads; ++head)
                for (index block = 0; block < blocks; ++block)
                    for (index query = 0; query < all.extents[2]; ++query)
                        all(batch, head, query, 0) += *partials++;
    }

  private:
    using scalar = scalar_of<decltype(std::declval<const Kept&>().view())>;

    template <class T>
    struct row {
        const T* values;
        index stride;
        index to_next_query;

        vec<T> operator()(vec<T> s, const key_lanes<T>& j) const {
            const T* from = values + j.first * stride;
            if (stride == 1) {
                prefetch(from + detail::rows_fetched_ahead * to_next_query);
                return s + vec<T>::load_partial(from, j.count);
            }
            if (stride == 0) return s + vec<T>(*from);
            return s + vec<T>::load_strided(from, stride, j.count);
        }
    };

    Kept values_;
};

/// s + b. The bias is a tensor over the scores, [queries, keys], [heads, queries, keys] or
/// [batch, heads, queries, keys], in which an extent of 1 serves all; −∞ hides a key. It can be
/// learned: the gradient has the bias's own shape and kind.
///
///     auto o = heed::attention(q, k, v, heed::bias(b));
///
/// The call throws shape_error if the bias does not broadcast over the scores.
template <tensor_like Tensor>
[[nodiscard]] auto bias(Tensor&& values) {
    auto kept = detail::keep(std::forward<Tensor>(values));
    return bias_modifier<std::remove_cvref_t<Tensor>, decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
