#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/detail/checkpoint_fields.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/interpolation.hpp>
#include <heed/rope/llama3.hpp>
#include <heed/rope/longrope.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/parameters.hpp>
#include <heed/rope/proportional.hpp>
#include <heed/rope/yarn.hpp>

/// \file
/// The frequencies of a checkpoint, from its rope_parameters (once rope_scaling) dictionary.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// What heed::rope::from_parameters takes beside the dictionary.
struct checkpoint_options {
    heed::detail::any_integral head_dim;                     ///< of q and k
    heed::detail::any_integral max_position_embeddings = 0;  ///< the model's; 0 if not known
    heed::detail::any_integral length = 0;  ///< of the sequence, for dynamic and longrope
    pair_layout layout = pair_layout::halves;
    bool ignore_unknown = false;  ///< leave out fields that no rope_type is known to have
};

}  // namespace rope

namespace detail {

/// Turns the fields of one dictionary into frequencies.
template <class Reader>
class checkpoint_frequencies {
  public:
    checkpoint_frequencies(Reader& fields, const rope::checkpoint_options& options)
        : fields_(fields), options_(options), type_(read_type()) {}

    const std::string& type() const { return type_; }

    rope::frequencies make() {
        base_ = fields_.number("rope_theta").value_or(10000);
        require_argument(base_ > 1 && std::isfinite(base_), prefix, "rope_theta is ", base_,
                         ", but it must be finite and greater than 1");
        share_ = fields_.number("partial_rotary_factor").value_or(1);
        require_argument(share_ >= 0 && share_ <= 1, prefix, "partial_rotary_factor is ", share_,
                         ", but it must be in [0, 1]");
        known_length_ = options_.max_position_embeddings.value;
        if (known_length_ <= 0) known_length_ = whole("max_position_embeddings").value_or(0);

        const auto layout = options_.layout;
        if (type_ == "default") return rope::plain({rotated(), base_, layout});
        if (type_ == "linear") return rope::interpolation({rotated(), base_, factor(), layout});
        if (type_ == "dynamic" && fields_.has("alpha"))
            return rope::ntk_aware({rotated(), base_, *fields_.number("alpha", 1), layout});
        if (type_ == "dynamic")
            return rope::dynamic_ntk(
                {rotated(), base_, factor(), options_.length, dynamic_length(), layout});
        if (type_ == "yarn") return yarn();
        if (type_ == "longrope") return longrope();
        if (type_ == "llama3") return llama3();
        return rope::proportional(
            {options_.head_dim, base_, share_, fields_.number("factor", 1).value_or(1), layout});
    }

  private:
    static constexpr const char* prefix = dictionary_prefix;

    /// rope_type, and its older name type, with the older names of some types.
    std::string read_type() {
        const auto modern = [](std::optional<std::string> type) {
            if (type == "mrope" || type == "axial") type = "default";
            if (type == "su") type = "longrope";
            if (type == "xdrope") type = "dynamic";
            return type;
        };
        const auto given = modern(fields_.text("rope_type")), old = modern(fields_.text("type"));
        require_argument(!given || !old || given == old, prefix, "rope_type is \"",
                         given.value_or(""), "\", but type is \"", old.value_or(""), "\"");
        std::string type = given ? *given : old.value_or("default");
        for (const char* known :
             {"default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"})
            if (type == known) return type;
        fail<argument_error>(prefix, given ? "rope_type" : "type", " is \"", type,
                             "\", but it must be default, linear, dynamic, yarn, longrope, llama3 "
                             "or proportional");
    }

    index rotated() const {
        const index head = options_.head_dim.value;
        require_argument(head >= 2 && head % 2 == 0, "head_dim is ", head,
                         ", but it must be even and at least 2");
        const auto dim = static_cast<index>(static_cast<double>(head) * share_);
        require_argument(dim >= 2 && dim % 2 == 0, prefix, "partial_rotary_factor is ", share_,
                         ", but of ", head, " dimensions it leaves ", dim,
                         ", which must be even and at least 2");
        return dim;
    }

    double factor() { return Reader::required(fields_.number("factor", 1), "factor", type_); }

    /// A whole number of positions.
    std::optional<index> whole(const char* name) {
        const auto length = fields_.number(name, 1);
        if (!length) return std::nullopt;
        require_argument(*length == std::floor(*length) && *length < 0x1p53, prefix, name, " is ",
                         *length, ", but it must be a whole number");
        return static_cast<index>(*length);
    }
    std::optional<index> given_length() { return whole("original_max_position_embeddings"); }
    /// Of the model if the dictionary has none.
    index original_length() {
        auto length = given_length();
        if (!length && known_length_ > 0) length = known_length_;
        return Reader::required(length, "original_max_position_embeddings", type_);
    }
    /// For dynamic, the model's own length is the trained one.
    index dynamic_length() {
        const auto length = given_length();
        require_argument(!length || known_length_ <= 0 || *length == known_length_, prefix,
                         "original_max_position_embeddings is ", length.value_or(0),
                         ", but max_position_embeddings is ", known_length_,
                         ", and rope_type \"dynamic\" has one trained length");
        return original_length();
    }
    /// factor, or the length of the model over that of its training.
    double implied_factor(index original) {
        auto given = fields_.number("factor", 1);
        if (!given && known_length_ > 0)
            given =
                std::max(1.0, static_cast<double>(known_length_) / static_cast<double>(original));
        return Reader::required(given, "factor", type_);
    }

    std::optional<any_real> real(const char* name) {
        const auto number = fields_.number(name);
        return number ? std::optional(any_real(*number)) : std::nullopt;
    }

    /// mscale and mscale_all_dim make an attention factor together, or, where one is missing or 0,
    /// not at all.
    bool have_ratio() {
        const auto scale = fields_.number("mscale", 0), all = fields_.number("mscale_all_dim", 0);
        return scale.value_or(0) != 0 && all.value_or(0) != 0;
    }

    rope::frequencies yarn() {
        const index original = original_length();
        const bool ratio = have_ratio();
        return rope::yarn({.dim = rotated(),
                           .base = base_,
                           .stretch = implied_factor(original),
                           .original_length = original,
                           .beta_fast = fields_.number("beta_fast").value_or(32),
                           .beta_slow = fields_.number("beta_slow").value_or(1),
                           .truncate = fields_.truth("truncate").value_or(true),
                           .attention_factor = real("attention_factor"),
                           .mscale = ratio ? real("mscale") : std::nullopt,
                           .mscale_all_dim = ratio ? real("mscale_all_dim") : std::nullopt,
                           .layout = options_.layout});
    }

    rope::frequencies longrope() {
        const index original = original_length();
        const auto factors = [&](const char* name) {
            return Reader::required(fields_.list(name), name, type_);
        };
        const auto attention_factor = longrope_attention_factor(original);
        return rope::longrope({.dim = rotated(),
                               .base = base_,
                               .stretch = attention_factor ? 1 : implied_factor(original),
                               .length = options_.length,
                               .original_length = original,
                               .short_factor = factors("short_factor"),
                               .long_factor = factors("long_factor"),
                               .attention_factor = attention_factor,
                               .layout = options_.layout});
    }
    /// attention_factor, or PhiMoE's two: one within the trained length, one beyond it.
    std::optional<any_real> longrope_attention_factor(index original) {
        const auto given = real("attention_factor"), within = real("short_mscale"),
                   beyond = real("long_mscale");
        if (!within && !beyond) return given;
        require_argument(!given, prefix, "attention_factor is given, but also ",
                         within ? "short_mscale" : "long_mscale", ", which stands for another one");
        for (const char* name : {"short_mscale", "long_mscale"}) {
            const double value = Reader::required(fields_.number(name), name, type_);
            require_argument(value > 0 && std::isfinite(value), prefix, name, " is ", value,
                             ", but it must be finite and above 0");
        }
        return options_.length.value > original ? beyond : within;
    }

    rope::frequencies llama3() {
        const auto needed = [&](const char* name) {
            return Reader::required(fields_.number(name), name, type_);
        };
        return rope::llama3({.dim = rotated(),
                             .base = base_,
                             .stretch = factor(),
                             .original_length = original_length(),
                             .low_freq_factor = needed("low_freq_factor"),
                             .high_freq_factor = needed("high_freq_factor"),
                             .layout = options_.layout});
    }

    Reader& fields_;
    const rope::checkpoint_options& options_;
    std::string type_;
    double base_ = 0, share_ = 0;
    index known_length_ = 0;  ///< max_position_embeddings; 0 if not known
};

}  // namespace detail

namespace rope {

/// The frequencies that a model's rope_parameters (once rope_scaling) dictionary stands for:
///
///     heed::rope::parameters fields{{"rope_type", "llama3"}, {"rope_theta", 500000},
///         {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4},
///         {"original_max_position_embeddings", 8192}};
///     auto rope = heed::rope::from_parameters(fields, {.head_dim = 128});
///
/// rope_type (or type) is default, linear, dynamic, yarn, longrope, llama3 or proportional, and
/// decides which other fields there are; docs/rope/from_parameters.md lists them, and those that
/// released dictionaries carry beside without any use. Some models keep rope_theta and
/// partial_rotary_factor beside the dictionary: put them in. Where it has no factor or
/// original_max_position_embeddings, the option max_position_embeddings serves as in transformers.
/// `length` is that of the sequence, for dynamic and longrope. `ignore_unknown` leaves out fields
/// that no type is known to have; those that do something which frequencies cannot do, such as
/// llama_4_scaling_beta, are refused all the same.
///
/// Throws argument_error, naming the field, for a type that is not known, a field that the type
/// does not have, then for one that is missing, of another kind or out of range, or that
/// contradicts another; shape_error for factors of another length than the pairs.
template <class Reader = heed::detail::parameter_reader<parameters>>
[[nodiscard]] frequencies from_parameters(const parameters& fields,
                                          const checkpoint_options& options) {
    Reader reader(fields);
    heed::detail::checkpoint_frequencies<Reader> checkpoint(reader, options);
    heed::detail::refuse_other_fields(fields, checkpoint.type(), options.ignore_unknown, {});
    return checkpoint.make();
}

/// The same for a model of several axes: mrope_section (or xdrope_section) cuts the ladder into
/// heed::rope::sections, or, where mrope_interleaved is true, into
/// heed::rope::interleaved_sections.
template <class Reader = heed::detail::parameter_reader<parameters>>
[[nodiscard]] axial_frequencies axial_from_parameters(const parameters& fields,
                                                      const checkpoint_options& options) {
    Reader reader(fields);
    heed::detail::checkpoint_frequencies<Reader> checkpoint(reader, options);
    heed::detail::refuse_other_fields(
        fields, checkpoint.type(), options.ignore_unknown,
        {"mrope_section", "xdrope_section", "mrope_interleaved", "interleaved"});
    const frequencies ladder = checkpoint.make();
    const auto given = reader.list("mrope_section"), old = reader.list("xdrope_section");
    heed::detail::require_argument(!given || !old || given == old, heed::detail::dictionary_prefix,
                                   "mrope_section and xdrope_section are given, but differ");
    const auto sizes = reader.required(given ? given : old, "mrope_section", checkpoint.type());
    const bool in_turn = reader.truth("mrope_interleaved").value_or(false);

    std::vector<heed::detail::any_integral> whole;
    for (const double size : sizes) {
        heed::detail::require_argument(
            size >= 0 && size <= static_cast<double>(ladder.pairs()) && size == std::floor(size),
            heed::detail::dictionary_prefix, "mrope_section holds ", size,
            ", but it must be whole, and at most ", ladder.pairs());
        whole.emplace_back(static_cast<index>(size));
    }
    return in_turn ? interleaved_sections(ladder, whole) : sections(ladder, whole);
}

/// The same from any map of names to std::variant or other values that heed::rope::parameter takes.
template <class Map>
requires requires(const Map& map) {
    parameter(map.begin()->second);
    std::string(map.begin()->first);
}
[[nodiscard]] frequencies from_parameters(const Map& fields, const checkpoint_options& options) {
    return from_parameters(parameters(fields.begin(), fields.end()), options);
}

template <class Map>
requires requires(const Map& map) {
    parameter(map.begin()->second);
    std::string(map.begin()->first);
}
[[nodiscard]] axial_frequencies axial_from_parameters(const Map& fields,
                                                      const checkpoint_options& options) {
    return axial_from_parameters(parameters(fields.begin(), fields.end()), options);
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
