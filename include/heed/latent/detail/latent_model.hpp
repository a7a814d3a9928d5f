#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/detail/packed_layer.hpp>
#include <heed/latent/latent_options.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Weights, sizes and frequencies of a latent attention that fit one another.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All that a layer is, and what follows from it.
template <class T>
struct latent_model {
    latent_weights<T> weights;
    latent_options options;
    std::optional<rope::frequencies> rope;
    packed_layer<T> packed = {};  ///< the same weights, packed, if they are

    bool compresses_queries() const { return weights.q_a_proj.is_given(); }
    bool has_gate() const { return weights.g_proj.is_given(); }
    index width() const { return weights.kv_a_proj_with_mqa.view().extents[1]; }
    index outputs() const { return weights.o_proj.view().extents[0]; }
    index query_rank() const {
        return compresses_queries() ? weights.q_a_proj.view().extents[0] : 0;
    }
    /// Of all heads side by side: queries, keys beside values, and values.
    index query_columns() const { return options.heads.value * options.dim(); }
    index expanded_columns() const {
        return options.heads.value * (options.content.value + options.value.value);
    }
    index output_columns() const { return options.heads.value * options.value.value; }
    index gate_columns() const { return has_gate() ? weights.g_proj.view().extents[0] : 0; }

    /// Refuses, by the name of a weight in checkpoints, what does not fit.
    void check() const;

  private:
    static void need(std::string_view name, bool is_given, std::string_view why) {
        require_argument(is_given, "heed::latent_attention: ", name, " is not given, but ", why);
    }
    static void refuse(std::string_view name, bool is_given, std::string_view why) {
        require_argument(!is_given, "heed::latent_attention: ", name, " is given, but ", why);
    }
    template <int Rank>
    static void fit(std::string_view name, const weight_view<T, Rank>& weight,
                    const std::array<index, static_cast<std::size_t>(Rank)>& shape) {
        if (!weight.is_given()) return;
        const auto view = weight.view();
        check_view(name, view);
        require_shape(view.extents == shape, "heed::latent_attention: ", name, " has shape ",
                      view.extents, ", but must have ", shape);
    }
};

template <class T>
void latent_model<T>::check() const {
    options.check();
    const auto& w = weights;
    const index heads = options.heads.value, rank = options.rank.value;
    constexpr std::string_view always = "every latent attention has one";
    need("kv_a_proj_with_mqa", w.kv_a_proj_with_mqa.is_given(), always);
    if (options.normed)
        need("kv_a_layernorm", w.kv_a_layernorm.is_given(), "c is normed");
    else
        refuse("kv_a_layernorm", w.kv_a_layernorm.is_given(), "c is not normed");
    need("kv_b_proj", w.kv_b_proj.is_given(), always);
    need("o_proj", w.o_proj.is_given(), always);
    check_view("kv_a_proj_with_mqa", w.kv_a_proj_with_mqa.view());
    check_view("o_proj", w.o_proj.view());

    if (compresses_queries()) {
        constexpr std::string_view why = "q_a_proj compresses queries";
        need("q_a_layernorm", w.q_a_layernorm.is_given(), why);
        need("q_b_proj", w.q_b_proj.is_given(), why);
        refuse("q_proj", w.q_proj.is_given(), why);
        check_view("q_a_proj", w.q_a_proj.view());
    } else {
        constexpr std::string_view why = "there is no q_a_proj to compress queries";
        need("q_proj", w.q_proj.is_given(), why);
        refuse("q_a_proj_bias", w.q_a_proj_bias.is_given(), why);
        refuse("q_a_layernorm", w.q_a_layernorm.is_given(), why);
        refuse("q_b_proj", w.q_b_proj.is_given(), why);
    }

    fit("q_proj", w.q_proj, {query_columns(), width()});
    fit("q_a_proj", w.q_a_proj, {query_rank(), width()});
    fit("q_a_proj_bias", w.q_a_proj_bias, {query_rank()});
    fit("q_a_layernorm", w.q_a_layernorm, {query_rank()});
    fit("q_b_proj", w.q_b_proj, {query_columns(), query_rank()});
    fit("kv_a_proj_with_mqa", w.kv_a_proj_with_mqa, {options.latent_dim(), width()});
    fit("kv_a_proj_with_mqa_bias", w.kv_a_proj_with_mqa_bias, {options.latent_dim()});
    fit("kv_a_layernorm", w.kv_a_layernorm, {rank});
    fit("kv_b_proj", w.kv_b_proj, {expanded_columns(), rank});
    fit("o_proj", w.o_proj, {outputs(), output_columns()});
    fit("o_proj_bias", w.o_proj_bias, {outputs()});
    if (has_gate()) {
        check_view("g_proj", w.g_proj.view());
        const bool is_per_head = gate_columns() == heads;
        fit("g_proj", w.g_proj, {is_per_head ? heads : output_columns(), width()});
    }
    require_argument(!compresses_queries() || query_rank() >= 1,
                     "heed::latent_attention: q_a_proj has no rows, but must have one at least");
    if (rope)
        require_shape(rope->dim() == options.rotated.value, "heed::latent_attention: rope rotates ",
                      rope->dim(), " dimensions, but rotated is ", options.rotated.value);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
