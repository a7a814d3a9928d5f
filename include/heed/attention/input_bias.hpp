#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/detail/parameter_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Biases of q and of k, before everything else.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// A bias as [heads or 1, dim], whether it is a matrix, a row, a column or a vector.
template <class T, int Rank>
tensor_view<T, 2> bias_rows(const tensor_view<T, Rank>& values, index dim) {
    if constexpr (Rank == 1) {
        return {values.data, {1, values.extents[0]}, {0, values.strides[0]}};
    } else {
        const bool is_column = values.extents[1] == 1 && dim != 1;
        if (is_column) return {values.data, {1, values.extents[0]}, {0, values.strides[0]}};
        return values;
    }
}

}  // namespace detail

/// The type of heed::query_bias(a) and heed::key_bias(b).
template <bool OfQueries, class Tensor, class Kept>
class input_bias_part : public detail::part_base<role::input_bias> {
  public:
    static constexpr bool of_queries = OfQueries;

    explicit input_bias_part(Kept values) : values_(std::move(values)) {}

    void check(const attention_shape& shape) const {
        const index heads = OfQueries ? shape.heads : shape.kv_heads;
        detail::check_view(name, values_.view());
        const auto all = rows(shape.dim);
        detail::require_shape(
            (all.extents[0] == 1 || all.extents[0] == heads) && all.extents[1] == shape.dim, name,
            " has shape ", values_.view().extents, ", but must have 1 row or ", heads,
            ", one for each ", OfQueries ? "query head" : "head of k", ", of ", shape.dim);
    }
    template <class See>
    void inputs(See&& see) const {
        see(name, values_.view());
    }

    /// The bias's own shape.
    template <class T>
    auto make_gradient(const attention_shape&) const {
        return detail::make_tensor_gradient<Tensor>(values_.view());
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        detail::check_bias_gradient(
            OfQueries ? "the gradient of heed::query_bias" : "the gradient of heed::key_bias",
            gradient, values_.view());
    }

    /// The gradient of q or of k, summed over the batch, the rows, and the heads that a row serves,
    /// a few columns a task: each is summed in one order, whatever the threads.
    template <class T, class View>
    void sum_rows(const View& gradient, const tensor_view<T, 4>& of_rows,
                  Eigen::ThreadPoolInterface* pool, workspace& memory) const {
        constexpr index numbers_a_thread = 1 << 16, most_columns = 64, cache_line = 64;
        using columns = std::array<double, static_cast<std::size_t>(most_columns)>;
        const auto& extents = of_rows.extents;
        const index dim = extents[3];
        const auto to = detail::bias_rows(gradient, dim);
        const index helpers = of_rows.size() / numbers_a_thread - 1;
        const bool shares = pool != nullptr && helpers > 0;
        const index width = shares ? cache_line / static_cast<index>(sizeof(T)) : most_columns;
        const index parts = detail::count_blocks(dim, width);
        const auto sum_columns = [&](index, index task) {
            const index row = task / parts, first = task % parts * width;
            const index last_head = to.extents[0] == 1 ? extents[1] : row + 1;
            const index some = std::min(width, dim - first);
            columns sums{};
            for (index batch = 0; batch < extents[0]; ++batch)
                for (index head = row; head < last_head; ++head)
                    for (index i = 0; i < extents[2]; ++i)
                        for (index c = 0; c < some; ++c)
                            sums[static_cast<std::size_t>(c)] +=
                                static_cast<double>(of_rows(batch, head, i, first + c));
            for (index c = 0; c < some; ++c)
                to(row, first + c) = static_cast<T>(sums[static_cast<std::size_t>(c)]);
        };
        for_each_task(pool, memory, to.extents[0] * parts, sum_columns, helpers);
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
    using scalar = scalar_of<decltype(std::declval<const Kept&>().view())>;
    static constexpr const char* name = OfQueries ? "heed::query_bias" : "heed::key_bias";

    auto rows(index dim) const { return detail::bias_rows(values_.view(), dim); }

    Kept values_;
};

namespace detail {

template <bool OfQueries, class Tensor>
auto make_input_bias(Tensor&& values) {
    auto kept = keep(std::forward<Tensor>(values));
    using part = input_bias_part<OfQueries, std::remove_cvref_t<Tensor>, decltype(kept)>;
    return part(std::move(kept));
}

}  // namespace detail

/// q_i + a, before norm and rotation (kexue 9577): under rotary positions a bias of q and k lets a
/// model read more than it was trained on. a is [heads, dim], a row for each query head, or [dim],
/// which serves all; of the scalar of q. It can be learned: the gradient has its shape and kind.
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
