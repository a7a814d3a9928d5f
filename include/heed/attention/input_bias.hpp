#pragma once

#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// Biases of q and of k, before everything else.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::query_bias(a) and heed::key_bias(b).
template <bool OfQueries, class Kept>
class input_bias_part {
  public:
    using role = heed::role::input_bias;
    static constexpr bool of_queries = OfQueries;

    explicit input_bias_part(Kept values) : values_(std::move(values)) {}

    void check(const attention_shape& shape) const {
        constexpr const char* name = OfQueries ? "heed::query_bias" : "heed::key_bias";
        const index heads = OfQueries ? shape.heads : shape.kv_heads;
        detail::check_view(name, values_.view());
        const auto all = rows(shape.dim);
        detail::require_shape(
            (all.extents[0] == 1 || all.extents[0] == heads) && all.extents[1] == shape.dim, name,
            " has shape ", values_.view().extents, ", but must have 1 row or ", heads,
            ", one for each ", OfQueries ? "query head" : "head of k", ", of ", shape.dim);
    }

    /// Adds the bias of a head to a row of q or k.
    template <class T>
    void add(index head, T* row, index dim) const {
        constexpr bool same_scalar = std::is_same_v<T, scalar>;
        static_assert(same_scalar, "heed: biases of q and k must have the scalar of q, k and v");
        if constexpr (same_scalar) {
            const auto all = rows(dim);
            const T* from = all.data + (all.extents[0] == 1 ? 0 : head) * all.strides[0];
            if (all.strides[1] == 1) {
                for (index c = 0; c < dim; c += vec<T>::size)
                    (vec<T>::load_partial(row + c, dim - c) +
                     vec<T>::load_partial(from + c, dim - c))
                        .store_partial(row + c, dim - c);
            } else {
                for (index c = 0; c < dim; ++c) row[c] += from[c * all.strides[1]];
            }
        }
    }

  private:
    using view_type = decltype(std::declval<const Kept&>().view());
    using scalar = scalar_of<view_type>;

    /// [heads or 1, dim], whether given as a matrix, a row, a column or a vector.
    auto rows(index dim) const {
        const auto all = values_.view();
        using result = tensor_view<const scalar, 2>;
        if constexpr (rank_of<view_type> == 1) {
            return result{all.data, {1, all.extents[0]}, {0, all.strides[0]}};
        } else {
            const bool is_column = all.extents[1] == 1 && dim != 1;
            if (is_column) return result{all.data, {1, all.extents[0]}, {0, all.strides[0]}};
            return result{all.data, all.extents, all.strides};
        }
    }

    Kept values_;
};

namespace detail {

template <bool OfQueries, class Tensor>
auto make_input_bias(Tensor&& values) {
    auto kept = keep(std::forward<Tensor>(values));
    return input_bias_part<OfQueries, decltype(kept)>(std::move(kept));
}

}  // namespace detail

/// q_i + a, before norm and rotation (kexue 9577): under rotary positions a bias of q and k lets a
/// model read more than it was trained on. a is [heads, dim], a row for each query head, or [dim],
/// which serves all; of the scalar of q.
///
///     auto o = heed::attention(q, k, v, heed::query_bias(a), heed::key_bias(b),
///                              heed::rotary(rope));
///
/// The call throws shape_error if a has another shape.
template <tensor_like Tensor>
requires(rank_of<Tensor> == 1 || rank_of<Tensor> == 2) auto query_bias(Tensor&& a) {
    return detail::make_input_bias<true>(std::forward<Tensor>(a));
}

/// k_j + b, before norm and rotation: b is [heads of k, dim] or [dim]; all else as for
/// heed::query_bias.
template <tensor_like Tensor>
requires(rank_of<Tensor> == 1 || rank_of<Tensor> == 2) auto key_bias(Tensor&& b) {
    return detail::make_input_bias<false>(std::forward<Tensor>(b));
}

}  // namespace heed::inline HEED_ARCHITECTURE
