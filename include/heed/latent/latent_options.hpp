#pragma once

#include <cmath>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// The sizes of multi-head latent attention, and its scale.

namespace heed::inline HEED_ARCHITECTURE {

/// What heed::latent_attention's make_cache is made for.
struct latent_cache_options {
    detail::any_integral batch = 1;       ///< sequences
    detail::any_integral capacity = 256;  ///< tokens a sequence for which memory is taken at once
};

/// What heed::latent_attention is made for; in brackets what configurations of checkpoints call it.
struct latent_options {
    detail::any_integral heads;  ///< H [num_attention_heads], at least 1
    /// d_k, of q and k, not rotated [qk_nope_head_dim]: 1 …, or 0 … if something is rotated.
    detail::any_integral content;
    detail::any_integral rotated = 0;  ///< d_r, of q and k, rotated [qk_rope_head_dim]: 0 …
    detail::any_integral value;        ///< d_v, of a head's values [v_head_dim]: 1 …
    detail::any_integral rank;         ///< d_c, of what is cached of a token [kv_lora_rank]: 1 …
    detail::any_real epsilon = 1e-6;   ///< of both norms [rms_norm_eps]: finite, not negative
    /// k, how many times the trained length YaRN was stretched to [rope_scaling.factor]: above 0.
    detail::any_real stretch = 1;
    /// Of the scale [rope_scaling.mscale_all_dim], 0 where a configuration has none: not negative.
    detail::any_real mscale_all_dim = 0;
    /// Whether c is normed, as in all checkpoints. Not where attention of another kind is written
    /// as latent attention (heed::latent_from_grouped): then there is no kv_a_layernorm.
    bool normed = true;

    /// d_k + d_r, of a head's q and k.
    index dim() const { return content.value + rotated.value; }
    /// d_c + d_r, of a token in the cache.
    index latent_dim() const { return rank.value + rotated.value; }

    /// g²/√(d_k + d_r), g = 0.1·mscale_all_dim·log k + 1 for k > 1, else 1: never 1/√d_c.
    double scale() const {
        const double k = stretch.value;
        const double g = k > 1 ? 0.1 * mscale_all_dim.value * std::log(k) + 1 : 1;
        return g * g / std::sqrt(static_cast<double>(dim()));
    }

    /// Throws argument_error for what is out of its range.
    void check() const {
        const auto at_least = [](std::string_view name, const detail::any_integral& given,
                                 index least) {
            detail::require_argument(given.value >= least && given.value < index(1) << 28,
                                     "heed::latent_attention: ", name, " is ", given.value,
                                     ", but must be at least ", least, " and below 2^28");
        };
        const auto real = [](std::string_view name, double given, bool holds,
                             std::string_view range) {
            detail::require_argument(holds && std::isfinite(given),
                                     "heed::latent_attention: ", name, " is ", given,
                                     ", but must be finite and ", range);
        };
        at_least("heads", heads, 1);
        at_least("rotated", rotated, 0);
        at_least("content", content, rotated.value > 0 ? 0 : 1);
        at_least("value", value, 1);
        at_least("rank", rank, 1);
        real("epsilon", epsilon.value, epsilon.value >= 0, "not negative");
        real("stretch", stretch.value, stretch.value > 0, "above 0");
        real("mscale_all_dim", mscale_all_dim.value, mscale_all_dim.value >= 0, "not negative");
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE
