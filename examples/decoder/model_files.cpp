#include "model_files.hpp"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "support/tokenizer_json.hpp"

namespace decoder {

using examples::file_error;
using examples::in_file;
using examples::mapped_file;

namespace {

/// The name that transformers has for what GGUF calls blk.3.attn_q.weight and the like; what is
/// neither a weight nor a bias of the model stays as it is.
std::string name_in_transformers(const std::string& name) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> names{{
        {"token_embd", "model.embed_tokens"},
        {"output_norm", "model.norm"},
        {"output", "lm_head"},
        {"attn_norm", "input_layernorm"},
        {"attn_q", "self_attn.q_proj"},
        {"attn_k", "self_attn.k_proj"},
        {"attn_v", "self_attn.v_proj"},
        {"attn_output", "self_attn.o_proj"},
        {"ffn_norm", "post_attention_layernorm"},
        {"ffn_gate", "mlp.gate_proj"},
        {"ffn_up", "mlp.up_proj"},
        {"ffn_down", "mlp.down_proj"},
    }};
    const std::size_t end = name.rfind('.');
    if (end == std::string::npos) return name;
    std::string_view part(name.data(), end);
    std::string begin;
    if (part.starts_with("blk.")) {
        const std::size_t number_end = part.find('.', 4);
        if (number_end == std::string_view::npos) return name;
        begin = "model.layers." + std::string(part.substr(4, number_end - 4)) + ".";
        part.remove_prefix(number_end + 1);
    }
    for (const auto& [ours, theirs] : names)
        if (part == ours) return begin + std::string(theirs) + name.substr(end);
    return name;
}

model_files open_gguf(const std::filesystem::path& path) {
    model_files all;
    const mapped_file& mapped = all.weights.files.emplace_back(path);
    in_file(path, [&] {
        const auto file = examples::read_gguf(mapped.bytes());
        all.sizes = read_configuration(file);
        all.vocabulary = read_vocabulary(file);
        for (const auto& [name, tensor] : file.tensors)
            all.weights.tensors.add(name_in_transformers(name), tensor);
        return true;
    });
    return all;
}

/// Of a model of this type. The two older files do not say how words are cut: Qwen 2's are all cut
/// alike, but models that call themselves llama are not.
examples::byte_pairs_vocabulary open_vocabulary(const std::filesystem::path& folder,
                                                const std::string& type) {
    const auto whole = folder / "tokenizer.json";
    if (exists(whole)) {
        const mapped_file file(whole);
        return in_file(whole, [&] { return examples::read_tokenizer_json(file.text()); });
    }
    const auto rules = examples::word_rules_named(type);
    if (!rules)
        throw file_error(folder.string() + ": has no tokenizer.json, which alone says how a " +
                         type + " cuts words");
    const mapped_file vocab(folder / "vocab.json"), merges(folder / "merges.txt");
    return in_file(folder, [&] {
        return examples::read_vocab_and_merges(vocab.text(), merges.text(), *rules);
    });
}

model_files open_folder(const std::filesystem::path& folder) {
    model_files all;
    const auto config = folder / "config.json";
    const mapped_file file(config);
    std::string type;
    in_file(config, [&] {
        const auto fields = examples::parse_json(file.text());
        all.sizes = read_configuration(fields);
        type = examples::field<std::string>(fields, "model_type");
        return true;
    });
    all.weights = examples::open_safetensors(folder);
    all.vocabulary = open_vocabulary(folder, type);
    return all;
}

}  // namespace

model_files open_model(const std::filesystem::path& path) {
    return is_directory(path) ? open_folder(path) : open_gguf(path);
}

examples::byte_pairs_vocabulary read_vocabulary(const examples::gguf_file& file) {
    using texts = std::vector<std::string>;
    using numbers = std::vector<double>;
    if (const auto& model = file.at<std::string>("tokenizer.ggml.model"); model != "gpt2")
        throw file_error("tokenizer.ggml.model is \"" + model +
                         "\", but this program knows byte-level pairs, \"gpt2\"");
    examples::byte_pairs_vocabulary all;
    all.tokens = file.at<texts>("tokenizer.ggml.tokens");
    for (const std::string& merge : file.at<texts>("tokenizer.ggml.merges"))
        all.merges.push_back(examples::merge_of(merge));

    const auto* const words = file.find<std::string>("tokenizer.ggml.pre");
    const auto rules =
        words != nullptr ? examples::word_rules_named(*words) : examples::word_rules{};
    if (!rules)
        throw file_error("tokenizer.ggml.pre is \"" + *words +
                         "\", which this program does not know");
    all.rules = *rules;
    all.words_first = rules->digits == 3;  // as Llama 3 has it

    if (const auto* const kinds = file.find<numbers>("tokenizer.ggml.token_type")) {
        if (kinds->size() != all.tokens.size())
            throw file_error("tokenizer.ggml.token_type has not a number for each token");
        for (std::size_t t = 0; t < kinds->size(); ++t)  // 3: of control, 4: added by users
            if ((*kinds)[t] == 3 || (*kinds)[t] == 4)
                all.whole.emplace_back(all.tokens[t], static_cast<token>(t));
    }
    const auto* const add = file.find<bool>("tokenizer.ggml.add_bos_token");
    if (add != nullptr ? *add : all.words_first) {
        const double first = file.at<double>("tokenizer.ggml.bos_token_id");
        if (!(first >= 0 && first < static_cast<double>(all.tokens.size())))
            throw file_error("tokenizer.ggml.bos_token_id is no token");
        all.prefix = {static_cast<token>(first)};
    }
    return all;
}

}  // namespace decoder
