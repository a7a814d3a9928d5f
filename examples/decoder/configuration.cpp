#include "configuration.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include <heed/rope/from_parameters.hpp>

namespace decoder {

using examples::field;
using examples::file_error;
using examples::find_field;
using examples::json;
using examples::part_of;

namespace {

constexpr double largest = 1 << 24;  // no size of a model is beyond it, and products fit

index checked_size(const std::string& name, double value, int least = 1) {
    if (!(value >= least && value <= largest) || value != std::floor(value))
        throw file_error(name + " is no whole number from " + std::to_string(least) + " to " +
                         std::to_string(int(largest)));
    return static_cast<index>(value);
}

/// What the sizes must be to one another, in either file.
void check_together(const configuration& c) {
    if (c.heads % c.kv_heads != 0)
        throw file_error(std::to_string(c.heads) + " heads cannot share " +
                         std::to_string(c.kv_heads) + " heads of keys and values evenly");
    if (!(c.epsilon >= 0 && c.epsilon < 1))
        throw file_error("the epsilon of the norms is " + std::to_string(c.epsilon));
    if (c.rope.dim() > c.dim)
        throw file_error("more dimensions are rotated than a head has, " + std::to_string(c.dim));
    for (const token end : c.ends)
        if (end < 0 || end >= c.vocabulary)
            throw file_error("token " + std::to_string(end) + " ends a text, but there are " +
                             std::to_string(c.vocabulary));
}

heed::rope::parameter parameter_of(const std::string& name, const json& value) {
    if (value.is_null()) return nullptr;
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_number()) return value.get<double>();
    if (value.is_string()) return value.get<std::string>();
    if (value.is_array()) return examples::value_of<std::vector<double>>(value, name);
    throw file_error(name + " is of another kind than it must be");
}

/// heed's error, which names the field, as one of the file's. No text is longer than the model's
/// longest, within which dynamic is not stretched; longrope's frequencies change in the midst of a
/// text, behind keys that have been rotated by the old ones.
heed::rope::frequencies frequencies_of(const heed::rope::parameters& fields,
                                       const heed::rope::checkpoint_options& options) {
    for (const char* name : {"rope_type", "type"}) {
        const auto found = fields.find(name);
        const auto* const type = found != fields.end() ? found->second.get<std::string>() : nullptr;
        if (type != nullptr && (*type == "longrope" || *type == "su"))
            throw file_error(std::string(name) + " is \"" + *type +
                             "\", whose frequencies change as a text grows, which this program "
                             "does not do");
    }
    try {
        return heed::rope::from_parameters(fields, options);
    } catch (const std::invalid_argument& error) {
        throw file_error(error.what());
    }
}

/// The dictionary, and what older files keep beside it.
heed::rope::frequencies rope_of(const json& config, index dim, index longest) {
    heed::rope::parameters fields;
    for (const char* name : {"rope_scaling", "rope_parameters"})
        if (const json& dictionary = part_of(config, name); dictionary.is_object())
            for (const auto& [key, value] : dictionary.items())
                fields.insert_or_assign(key, parameter_of(key, value));
    for (const char* name : {"rope_theta", "partial_rotary_factor"})
        if (const auto value = find_field<double>(config, name); value && !fields.contains(name))
            fields.emplace(name, *value);
    return frequencies_of(fields, {.head_dim = dim, .max_position_embeddings = longest});
}

/// eos_token_id is a number or a list of them.
std::vector<token> ends_of(const json& config) {
    const json& ids = part_of(config, "eos_token_id");
    std::vector<token> ends;
    const auto add = [&](const json& id) {
        if (id.is_null()) return;
        const auto number = examples::value_of<double>(id, "eos_token_id");
        ends.push_back(static_cast<token>(checked_size("eos_token_id", number, 0)));
    };
    if (ids.is_array())
        for (const json& id : ids) add(id);
    else
        add(ids);
    return ends;
}

index window_of(const json& config, const std::string& type) {
    const auto window = find_field<double>(config, "sliding_window");
    if (!window) return 0;
    if (type == "mistral") return checked_size("sliding_window", *window);
    if (find_field<bool>(config, "use_sliding_window").value_or(false))
        throw file_error("use_sliding_window is true, which this program does for mistral alone");
    return 0;
}

}  // namespace

configuration read_configuration(const json& config) {
    const auto size = [&](const char* name) {
        return checked_size(name, field<double>(config, name));
    };
    const auto type = field<std::string>(config, "model_type");
    if (type != "llama" && type != "mistral" && type != "qwen2")
        throw file_error("model_type is \"" + type +
                         "\", but this program knows llama, mistral and qwen2");
    if (const auto act = field<std::string>(config, "hidden_act"); act != "silu" && act != "swish")
        throw file_error("hidden_act is \"" + act + "\", but this program knows silu");

    configuration c;
    c.vocabulary = size("vocab_size");
    c.width = size("hidden_size");
    c.inner = size("intermediate_size");
    c.layers = size("num_hidden_layers");
    c.heads = size("num_attention_heads");
    c.kv_heads =
        find_field<double>(config, "num_key_value_heads") ? size("num_key_value_heads") : c.heads;
    c.dim = find_field<double>(config, "head_dim") ? size("head_dim") : c.width / c.heads;
    c.longest = size("max_position_embeddings");
    c.window = window_of(config, type);
    c.epsilon = field<double>(config, "rms_norm_eps");
    c.tied = find_field<bool>(config, "tie_word_embeddings").value_or(false);
    c.rope = rope_of(config, c.dim, c.longest);
    c.ends = ends_of(config);
    check_together(c);
    return c;
}

namespace {

/// The named rule of a GGUF file as fields of a dictionary. Throws file_error for a value that
/// would change what it makes and is not followed.
void add_rule(heed::rope::parameters& fields, const examples::gguf_file& file,
              const std::string& type) {
    const std::string scaling = type + ".rope.scaling.";
    const auto number = [&](const char* name) { return file.find<double>(scaling + name); };
    // Those that are followed for the one number which changes nothing.
    for (const auto& [name, neutral] : {std::pair("attn_factor", 1),
                                        {"yarn_attn_factor", 1},
                                        {"yarn_ext_factor", 1},
                                        {"yarn_log_multiplier", 0}})
        if (const auto* value = number(name); value != nullptr && *value != neutral)
            throw file_error(scaling + name + " is " + std::to_string(*value) +
                             ", but this program knows " + std::to_string(neutral));
    const auto* const rule = file.find<std::string>(scaling + "type");
    const auto* factor = number("factor");
    if (factor == nullptr) factor = file.find<double>(type + ".rope.scale_linear");  // once
    // A factor without a rule is one of linear.
    if (rule != nullptr ? *rule == "none" : factor == nullptr) return;
    fields.insert_or_assign("rope_type", rule != nullptr ? *rule : "linear");
    if (factor != nullptr) fields.insert_or_assign("factor", *factor);
    if (rule == nullptr || *rule != "yarn") return;
    for (const auto& [name, field] :
         {std::pair("original_context_length", "original_max_position_embeddings"),
          {"yarn_beta_fast", "beta_fast"},
          {"yarn_beta_slow", "beta_slow"}})
        if (const auto* value = number(name)) fields.insert_or_assign(field, *value);
}

/// A model's stretched frequencies are factors that divide the plain ones, or a named rule.
heed::rope::frequencies rope_of(const examples::gguf_file& file, const std::string& type,
                                const configuration& c) {
    const auto number = [&](const char* name) { return file.find<double>(type + name); };
    const auto* const rotated = number(".rope.dimension_count");
    const auto* const base = number(".rope.freq_base");
    heed::rope::parameters fields{{"rope_theta", base != nullptr ? *base : 10000.0}};
    add_rule(fields, file, type);
    // The conversion to GGUF puts q and k of Llama's into the order of the original.
    const auto layout = type == "llama" ? heed::rope::interleaved : heed::rope::halves;
    const index dim =
        rotated != nullptr ? checked_size(type + ".rope.dimension_count", *rotated) : c.dim;
    const auto plain = frequencies_of(
        fields, {.head_dim = dim, .max_position_embeddings = c.longest, .layout = layout});
    if (!file.tensors.has("rope_freqs.weight")) return plain;

    const Eigen::VectorXf factors = file.tensors.vector("rope_freqs.weight", plain.pairs());
    std::vector<double> angular = plain.angular();
    for (std::size_t t = 0; t < angular.size(); ++t) {
        const auto factor = static_cast<double>(factors[static_cast<index>(t)]);
        if (!(factor > 0)) throw file_error("rope_freqs.weight holds what is not above 0");
        angular[t] /= factor;
    }
    return heed::rope::frequencies(std::move(angular), layout, plain.attention_factor());
}

}  // namespace

configuration read_configuration(const examples::gguf_file& file) {
    const auto type = file.at<std::string>("general.architecture");
    if (type != "llama" && type != "qwen2")
        throw file_error("general.architecture is \"" + type +
                         "\", but this program knows llama and qwen2");
    const auto size = [&](const std::string& name) {
        return checked_size(type + name, file.at<double>(type + name));
    };
    configuration c;
    c.vocabulary =
        static_cast<index>(file.at<std::vector<std::string>>("tokenizer.ggml.tokens").size());
    c.width = size(".embedding_length");
    c.inner = size(".feed_forward_length");
    c.layers = size(".block_count");
    c.heads = size(".attention.head_count");
    const bool grouped = file.find<double>(type + ".attention.head_count_kv") != nullptr;
    c.kv_heads = grouped ? size(".attention.head_count_kv") : c.heads;
    const bool given = file.find<double>(type + ".attention.key_length") != nullptr;
    c.dim = given ? size(".attention.key_length") : c.width / c.heads;
    c.longest = size(".context_length");
    c.epsilon = file.at<double>(type + ".attention.layer_norm_rms_epsilon");
    c.tied = !file.tensors.has("output.weight");
    c.rope = rope_of(file, type, c);
    if (const auto* end = file.find<double>("tokenizer.ggml.eos_token_id"))
        c.ends = {static_cast<token>(checked_size("tokenizer.ggml.eos_token_id", *end, 0))};
    check_together(c);
    return c;
}

}  // namespace decoder
