#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/grouped_weights.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Weights, sizes and frequencies of attention with grouped heads that fit one another.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All that such a layer is, and what follows from it.
template <class T>
struct grouped_layer {
    std::string_view function;  ///< whom errors name
    grouped_weights<T> weights;
    grouped_options options;
    std::optional<rope::frequencies> rope;

    index width() const { return weights.q_proj.view().extents[1]; }
    index outputs() const { return weights.o_proj.view().extents[0]; }
    /// Of a head's q and k, the first are rotated, all others are content.
    index rotated() const { return rope ? rope->dim() : 0; }
    index content() const { return options.dim.value - rotated(); }
    /// Of all groups: keys that are not rotated, and values.
    index cached() const { return options.kv_heads.value * (content() + options.value.value); }
    bool has_bias() const {
        return weights.k_proj_bias.is_given() || weights.v_proj_bias.is_given();
    }

    void check() const;

    /// W and b, one column more, of what is cached without rotation: [cached, D or D + 1], rows of
    /// the keys' content of all groups, then of their values.
    template <class Matrix>
    Matrix cached_matrix() const {
        const index groups = options.kv_heads.value, dim = options.dim.value;
        const index value = options.value.value;
        Matrix w(cached(), width() + (has_bias() ? 1 : 0));
        const auto copy_row = [&](index to, const weight_view<T, 2>& weight,
                                  const weight_view<T, 1>& bias, index row) {
            const auto from = weight.view();
            for (index c = 0; c < width(); ++c) w(to, c) = static_cast<double>(from(row, c));
            if (has_bias())
                w(to, width()) = bias.is_given() ? static_cast<double>(bias.view()(row)) : 0.0;
        };
        for (index g = 0; g < groups; ++g) {
            for (index i = 0; i < content(); ++i)
                copy_row(g * content() + i, weights.k_proj, weights.k_proj_bias,
                         g * dim + rotated() + i);
            for (index e = 0; e < value; ++e)
                copy_row(groups * content() + g * value + e, weights.v_proj, weights.v_proj_bias,
                         g * value + e);
        }
        return w;
    }

  private:
    template <int Rank>
    void fit(std::string_view name, const weight_view<T, Rank>& weight,
             const std::array<index, static_cast<std::size_t>(Rank)>& shape) const {
        if (Rank == 1 && !weight.is_given()) return;
        require_argument(weight.is_given(), function, ": ", name, " is not given");
        const auto view = weight.view();
        check_view(name, view);
        require_shape(view.extents == shape, function, ": ", name, " has shape ", view.extents,
                      ", but must have ", shape);
    }
};

template <class T>
void grouped_layer<T>::check() const {
    const auto at_least_one = [&](std::string_view name, index given) {
        require_argument(given >= 1 && given < index(1) << 28, function, ": ", name, " is ", given,
                         ", but must be at least 1 and below 2^28");
    };
    const index heads = options.heads.value, groups = options.kv_heads.value;
    const index dim = options.dim.value, value = options.value.value;
    at_least_one("heads", heads);
    at_least_one("kv_heads", groups);
    at_least_one("dim", dim);
    at_least_one("value", value);
    require_argument(heads % groups == 0, function, ": kv_heads is ", groups, " and heads is ",
                     heads, ", but it must divide them");
    if (rope)
        require_shape(rotated() <= dim, function, ": rope rotates ", rotated(),
                      " dimensions, but a head's q and k have ", dim);
    const auto& w = weights;
    const index inputs = w.q_proj.is_given() ? width() : 0;
    fit("q_proj", w.q_proj, {heads * dim, inputs});
    fit("k_proj", w.k_proj, {groups * dim, inputs});
    fit("k_proj_bias", w.k_proj_bias, {groups * dim});
    fit("v_proj", w.v_proj, {groups * value, inputs});
    fit("v_proj_bias", w.v_proj_bias, {groups * value});
    fit("o_proj", w.o_proj, {w.o_proj.is_given() ? outputs() : 0, heads * value});
    fit("o_proj_bias", w.o_proj_bias, {outputs()});
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
