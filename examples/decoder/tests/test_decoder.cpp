#include <cmath>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include "char_lm/tests/temporary_folder.hpp"
#include "check_bits.hpp"
#include "generate.hpp"
#include "golden/golden.hpp"
#include "model_files.hpp"
#include "perplexity.hpp"
#include "support/byte_pairs.hpp"
#include "support/catch.hpp"
#include "support/mapped_file.hpp"
#include "support/tests/damaged_files.hpp"
#include "transformer.hpp"

namespace decoder::test_decoder {

using tokens = std::vector<token>;

constexpr heed::on_pool one_thread{nullptr};
constexpr int prompt_count = 3;

/// A tiny model, ready to read.
struct loaded {
    explicit loaded(const std::string& name, precision weights = precision::float32)
        : files(open_model(std::filesystem::path(HEED_GOLDEN_DATA) / "models" / name)),
          vocabulary(files.vocabulary),
          model(files.sizes, files.weights.tensors, weights) {}

    model_files files;
    examples::byte_pairs vocabulary;
    transformer model;
};

std::string text_of(const golden::array& numbers) {
    std::string text;
    for (const double byte : numbers.values) text += static_cast<char>(static_cast<int>(byte));
    return text;
}

/// Tokens, logits and greedy continuations of the prompts are transformers'.
void check_golden(const std::string& file, const std::string& name) {
    const loaded m(file);
    const auto& expected = golden::load("models", name);
    std::vector<tokens> prompts;
    for (int p = 0; p < prompt_count; ++p) {
        const std::string number = std::to_string(p);
        INFO(file << ", prompt " << p);
        prompts.push_back(m.vocabulary.encode(text_of(expected["prompt_" + number])));
        REQUIRE(prompts.back() == expected.numbers<token>("ids_" + number));
        text_cache cache = m.model.make_cache(precision::float32);
        const piece all{&cache, prompts.back()};
        const Eigen::RowVectorXf logits =
            m.model.read({&all, 1}, wanted::last_of_each, one_thread).row(0);
        const Eigen::RowVectorXf theirs = expected.matrix<float>("logits_" + number).row(0);
        CHECK((logits - theirs).cwiseAbs().maxCoeff() < 1e-4F * theirs.cwiseAbs().maxCoeff());
    }
    const auto count = index(expected["greedy_0"].values.size());
    const auto written =
        generate(m.model, prompts, count, {}, precision::float32, one_thread).texts;
    for (int p = 0; p < prompt_count; ++p)
        CHECK(written[std::size_t(p)] == expected.numbers<token>("greedy_" + std::to_string(p)));
}

double perplexity_of(const loaded& m, const std::string& name, precision cache) {
    const auto text = m.vocabulary.encode(text_of(golden::load("models", name)["text"]));
    return perplexity(m.model, text, 512, cache, one_thread);
}

TEST_CASE("a Llama of safetensors writes what transformers writes") {
    check_golden("llama", "llama");
}

TEST_CASE("a Llama of GGUF, its pairs of dimensions in another order, writes the same") {
    check_golden("llama.gguf", "llama");
}

TEST_CASE("a Qwen 2, with biases and logits of its own, writes what transformers writes") {
    check_golden("qwen2", "qwen2");
}

TEST_CASE("without a tokenizer.json a Qwen 2 cuts words as its own, and others are refused") {
    const auto models = std::filesystem::path(HEED_GOLDEN_DATA) / "models";
    const char_lm::temporary_folder folder;
    const auto open = [&](const std::string& name) {
        std::filesystem::remove_all(folder.path() / name);
        std::filesystem::copy(models / name, folder.path() / name);
        std::filesystem::remove(folder.path() / name / "tokenizer.json");
        return open_model(folder.path() / name);
    };
    const std::string text = "It's WE'LL 1234  [i] naive\u0301.\n\n ok";
    const auto expected = loaded("qwen2").vocabulary.encode(text);
    CHECK(examples::byte_pairs(open("qwen2").vocabulary).encode(text) == expected);
    CHECK_THROWS_WITH(open("llama"), Catch::Matchers::Contains("llama: has no tokenizer.json"));
}

TEST_CASE("perplexity is transformers', and within 1 % and 3 % of it in fewer bits") {
    for (const std::string name : {"llama", "qwen2"}) {
        const double expected = golden::load("models", name).number("perplexity");
        INFO(name << ": " << expected);
        const loaded whole(name);
        CHECK(std::abs(perplexity_of(whole, name, precision::float32) / expected - 1) < 1e-4);
        for (const auto& [few, bound] :
             {std::pair(precision::bfloat16, 0.01), {precision::int8, 0.03}}) {
            const loaded smaller(name, few);
            for (const double found :
                 {perplexity_of(whole, name, few), perplexity_of(smaller, name, precision::float32),
                  perplexity_of(smaller, name, few)})
                CHECK(std::abs(found / expected - 1) < bound);
        }
    }
}

TEST_CASE("windows of a text are read alone") {
    const loaded m("llama");
    const auto text =
        m.vocabulary.encode("The model reads a text, a token at a time, and the rest.");
    const auto cut = std::span(text).first(text.size() / 7 * 7);
    double sum = 0;
    for (std::size_t at = 0; at < cut.size(); at += 7)
        sum += 6 *
               std::log(perplexity(m.model, cut.subspan(at, 7), 7, precision::float32, one_thread));
    const double all = perplexity(m.model, cut, 7, precision::float32, one_thread);
    CHECK(std::log(all) == Approx(sum / double(cut.size() / 7 * 6)));
    CHECK_THROWS_WITH(perplexity(m.model, cut.first(1), 7, precision::float32, one_thread),
                      "a text of 1 tokens leaves nothing to predict");
}

TEST_CASE("bits do not depend on how a text is read, in any precision") {
    Eigen::ThreadPool pool(2);
    for (const auto stored : {precision::float32, precision::bfloat16, precision::int8}) {
        const loaded m("llama", stored);
        const auto text = m.vocabulary.encode("Attention is a mean of values, weighted by how.");
        for (const auto& way : check_bits(m.model, text, stored, {&pool})) {
            INFO(way.name);
            CHECK(way.same_bits);
        }
    }
}

TEST_CASE("a text is drawn alike alone and beside others, and ends where the model says") {
    const loaded m("llama");
    const sampling how{.temperature = 1.2, .top_k = 50, .top_p = 0.95, .min_p = 0.01, .seed = 3};
    const std::vector<tokens> prompts{m.vocabulary.encode("The"),
                                      m.vocabulary.encode("Attention is a mean")};
    const auto both = generate(m.model, prompts, 16, how, precision::float32, one_thread);
    const auto first =
        generate(m.model, std::span(prompts).first(1), 16, how, precision::float32, one_thread);
    CHECK(both.texts[0] == first.texts[0]);
    CHECK(both.texts[0].size() == 16);
    CHECK(both.read == index(prompts[0].size() + prompts[1].size()));

    model_files files = open_model(std::filesystem::path(HEED_GOLDEN_DATA) / "models" / "llama");
    files.sizes.ends = {first.texts[0][4]};
    const transformer ending(files.sizes, files.weights.tensors, precision::float32);
    const auto ended =
        generate(ending, std::span(prompts).first(1), 16, how, precision::float32, one_thread);
    CHECK(ended.texts[0].size() <= 4);
}

TEST_CASE("a configuration that is wrong is refused by the field's name") {
    const auto refused = [](const std::string& part, const std::string& changed) {
        INFO(part);
        examples::json config = examples::json::parse(R"({"model_type":"llama",
            "hidden_act":"silu","vocab_size":9,"hidden_size":8,"intermediate_size":8,
            "num_hidden_layers":1,"num_attention_heads":2,"max_position_embeddings":64,
            "rms_norm_eps":1e-5})");
        CHECK_NOTHROW(read_configuration(config));
        config.update(examples::json::parse(changed));
        try {
            read_configuration(config);
            FAIL_CHECK("nothing was thrown");
        } catch (const examples::file_error& error) {
            INFO(error.what());
            CHECK(std::string(error.what()).find(part) != std::string::npos);
        }
    };
    refused("model_type is \"bert\"", R"({"model_type":"bert"})");
    refused("hidden_act is \"gelu\"", R"({"hidden_act":"gelu"})");
    refused("has no vocab_size", R"({"vocab_size":null})");
    refused("hidden_size is no whole number", R"({"hidden_size":1e30})");
    refused("hidden_size is of another kind", R"({"hidden_size":"8"})");
    refused("cannot share 3 heads", R"({"num_key_value_heads":3})");
    refused("rope_type is \"new\"", R"({"rope_parameters":{"rope_type":"new"}})");
    refused("type is \"longrope\"", R"({"rope_scaling":{"type":"longrope"}})");
    refused("rope_type is \"su\"", R"({"rope_parameters":{"rope_type":"su"}})");
    refused("epsilon", R"({"rms_norm_eps":2})");
    refused("token 9 ends a text", R"({"eos_token_id":[1,9]})");
    refused("eos_token_id is no whole number from 0 to 16777216", R"({"eos_token_id":-1})");
    refused("use_sliding_window",
            R"({"model_type":"qwen2","sliding_window":8,"use_sliding_window":true})");
}

TEST_CASE("a GGUF file stretches frequencies by its rule, whose every value is followed") {
    const examples::mapped_file mapped(std::filesystem::path(HEED_GOLDEN_DATA) / "models" /
                                       "llama.gguf");
    const auto values = examples::read_gguf(mapped.bytes()).values;
    using changes = std::map<std::string, examples::gguf_value>;
    const auto read = [&](const changes& changed) {
        examples::gguf_file file;  // without its rope_freqs
        file.values = values;
        for (const auto& [name, value] : changed)
            file.values.insert_or_assign("llama.rope." + name, value);
        return read_configuration(file).rope.angular();
    };
    const auto expected = [](const std::string& dictionary) {
        return read_configuration(
                   examples::json::parse(
                       R"({"model_type":"llama","hidden_act":"silu","vocab_size":9,"hidden_size":8,
                "intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":1,"head_dim":6,
                "max_position_embeddings":512,"rms_norm_eps":1e-5,"rope_scaling":)" +
                       dictionary + "}"))
            .rope.angular();
    };
    const auto linear = expected(R"({"type":"linear","factor":4})");
    CHECK(read({}) == expected("null"));
    CHECK(read({{"scaling.type", std::string("none")}, {"scaling.factor", 4.0}}) == read({}));
    CHECK(read({{"scaling.type", std::string("linear")}, {"scaling.factor", 4.0}}) == linear);
    CHECK(read({{"scaling.factor", 4.0}}) == linear);
    CHECK(read({{"scale_linear", 4.0}}) == linear);

    changes yarn{{"scaling.type", std::string("yarn")},
                 {"scaling.factor", 4.0},
                 {"scaling.original_context_length", 128.0},
                 {"scaling.attn_factor", 1.0}};
    const std::string fields = R"({"type":"yarn","factor":4,
                                   "original_max_position_embeddings":128)";
    CHECK(read(yarn) == expected(fields + "}"));
    yarn.insert({{"scaling.yarn_beta_fast", 0.5}, {"scaling.yarn_beta_slow", 0.05}});
    CHECK(read(yarn) == expected(fields + R"(,"beta_fast":0.5,"beta_slow":0.05})"));
    CHECK(read(yarn) != expected(fields + "}"));
    for (const std::string name :
         {"attn_factor", "yarn_attn_factor", "yarn_ext_factor", "yarn_log_multiplier"}) {
        changes unknown = yarn;
        unknown.insert_or_assign("scaling." + name, 0.5);
        CHECK_THROWS_WITH(read(unknown),
                          Catch::Matchers::Contains("llama.rope.scaling." + name + " is 0.5"));
    }
}

TEST_CASE("damaged files of a model are read or refused") {
    const auto folder = std::filesystem::path(HEED_GOLDEN_DATA) / "models";
    const auto contents = [&](const char* name) {
        return std::string(examples::mapped_file(folder / name).text());
    };
    examples_test::fuzz(contents("llama/config.json"), 7, 500, [](std::string_view file) {
        (void)read_configuration(examples::parse_json(file));
    });
    examples_test::fuzz(contents("llama.gguf"), 8, 300, [](std::string_view file) {
        const auto read = examples::read_gguf(std::as_bytes(std::span(file.data(), file.size())));
        (void)read_configuration(read);
        (void)examples::byte_pairs(read_vocabulary(read));
    });
}

TEST_CASE("a text is as long as the model's longest, and no longer") {
    model_files files = open_model(std::filesystem::path(HEED_GOLDEN_DATA) / "models" / "llama");
    files.sizes.longest = 6;
    const transformer model(files.sizes, files.weights.tensors, precision::float32);
    const std::vector<tokens> prompts{{1, 2}, {1, 2, 3, 4}};
    const auto write = [&](index count) {
        return generate(model, prompts, count, {}, precision::float32, one_thread);
    };
    CHECK(write(2).read == 6);
    CHECK_THROWS_WITH(write(3), "a text of 7 tokens, but the model is made for at most 6");
    text_cache read = model.make_cache(precision::float32);
    const auto read_more = [&] {
        const piece now{&read, prompts[1]};
        return model.read({&now, 1}, wanted::last_of_each, one_thread);
    };
    CHECK(read_more().rows() == 1);
    CHECK_THROWS_WITH(read_more(), "a text of 8 tokens, but the model is made for at most 6");
    CHECK(read.front().length() == 4);
}

TEST_CASE("weights that are missing or do not fit are named") {
    const auto path = std::filesystem::path(HEED_GOLDEN_DATA) / "models" / "llama";
    model_files files = open_model(path);
    const auto refused = [&](const std::string& message) {
        CHECK_THROWS_WITH(transformer(files.sizes, files.weights.tensors, precision::float32),
                          message);
    };
    files.sizes.layers = 3;
    refused("there is no tensor model.layers.2.input_layernorm.weight");
    files.sizes.layers = 2;
    files.sizes.inner = 25;
    refused("tensor model.layers.0.mlp.gate_proj.weight is [24, 16], but the model needs [25, 16]");
}

}  // namespace decoder::test_decoder
