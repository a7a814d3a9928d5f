#pragma once

#include <initializer_list>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/rope/parameters.hpp>

/// \file
/// Which fields the dictionary of each rope_type may have, and what is said of others.

namespace heed::inline HEED_ARCHITECTURE::detail {

inline bool is_one_of(std::string_view name, std::initializer_list<const char*> names) {
    for (const char* other : names)
        if (name == other) return true;
    return false;
}

/// Whether every type has the field.
inline bool is_common_field(std::string_view name) {
    return is_one_of(name, {"rope_type", "type", "rope_theta", "partial_rotary_factor",
                            "max_position_embeddings"});
}

/// Whether the field is one of those that make the frequencies of a type.
inline bool is_field_of(std::string_view type, std::string_view name) {
    if (type == "linear" || type == "proportional") return name == "factor";
    if (type == "dynamic")
        return is_one_of(name, {"factor", "alpha", "original_max_position_embeddings"});
    if (type == "yarn")
        return is_one_of(
            name, {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale",
                   "mscale_all_dim", "truncate", "attention_factor"});
    if (type == "longrope")
        return is_one_of(name, {"factor", "original_max_position_embeddings", "short_factor",
                                "long_factor", "short_mscale", "long_mscale", "attention_factor"});
    if (type == "llama3")
        return is_one_of(name, {"factor", "original_max_position_embeddings", "low_freq_factor",
                                "high_freq_factor"});
    return false;
}

/// Whether released dictionaries of a type carry the field with such a value, and no program makes
/// anything of it.
inline bool is_harmless(std::string_view type, std::string_view name, const rope::parameter& value,
                        bool has_alpha) {
    if (type == "yarn" && name == "finetuned") return true;
    if (type == "default" || type == "linear") return name == "original_max_position_embeddings";
    if (type == "dynamic" && has_alpha)  // HunYuan's
        return name == "beta_fast" || name == "beta_slow" || name == "mscale" ||
               name == "mscale_all_dim";
    const auto* number = value.get<double>();
    return type == "yarn" && (name == "attn_factor" || name == "extrapolation_factor") &&
           number != nullptr && *number == 1;
}

/// What a field does that frequencies cannot do, and what to do about it; empty if it is none.
inline std::string_view beyond_frequencies(std::string_view name) {
    if (name == "llama_4_scaling_beta")
        return "scales queries by their position, which is no matter of frequencies: multiply q at "
               "position p by 1 + llama_4_scaling_beta*log(1 + floor(p/"
               "original_max_position_embeddings)), and leave the field out";
    if (name == "mrope_section" || name == "mrope_interleaved" || name == "xdrope_section")
        return "is of a model of several axes: heed::rope::axial_from_parameters reads it";
    if (name == "attn_factor" || name == "extrapolation_factor")
        return "is read by some programs and not by others, so that it must be 1, and of "
               "rope_type \"yarn\": give attention_factor, or frequencies of your own, instead";
    return {};
}

/// Refuses, before anything is read, the fields that would be left out though they matter, and,
/// unless those are to be ignored, the ones that nobody knows. `of_axes` are known to the caller.
template <class Dictionary>
void refuse_other_fields(const Dictionary& fields, std::string_view type, bool ignore_unknown,
                         std::initializer_list<const char*> of_axes) {
    const bool has_alpha = fields.contains("alpha") && !fields.at("alpha").is_null();

    for (const auto& [name, value] : fields) {
        if (value.is_null() || is_common_field(name) || is_field_of(type, name) ||
            is_one_of(name, of_axes) || is_harmless(type, name, value, has_alpha))
            continue;
        const std::string_view beyond = beyond_frequencies(name);
        require_argument(beyond.empty(), dictionary_prefix, name, " ", beyond);
        require_argument(ignore_unknown, dictionary_prefix, name, " is given, but rope_type \"",
                         type, "\" has no such field; the option ignore_unknown leaves it out");
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
