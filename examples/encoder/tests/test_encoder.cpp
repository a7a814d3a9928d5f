#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include "configuration.hpp"
#include "golden/golden.hpp"
#include "sentence_encoder.hpp"
#include "support/catch.hpp"
#include "support/file_error.hpp"
#include "support/mapped_file.hpp"
#include "support/model_weights.hpp"
#include "support/tests/damaged_files.hpp"
#include "support/word_pieces.hpp"

namespace encoder::test_encoder {

constexpr heed::on_pool one_thread{nullptr};

/// The tiny model, and the golden texts as tokens.
struct loaded {
    explicit loaded(precision weights = precision::float32)
        : folder(std::filesystem::path(HEED_GOLDEN_DATA) / "models" / "bert"),
          sizes(read_configuration(
              examples::parse_json(examples::mapped_file(folder / "config.json").text()))),
          files(examples::open_safetensors(folder)),
          model(sizes, files.tensors, weights) {
        const examples::word_pieces vocabulary(examples::mapped_file(folder / "vocab.txt").text());
        const auto& golden = golden::load("models", "bert");
        for (int text = 0; golden.has("text_" + std::to_string(text)); ++text) {
            std::string bytes;
            for (const double byte : golden["text_" + std::to_string(text)].values)
                bytes += static_cast<char>(static_cast<int>(byte));
            texts.push_back(vocabulary.encode(bytes, std::size_t(sizes.longest)));
        }
    }

    std::filesystem::path folder;
    configuration sizes;
    examples::model_weights files;
    sentence_encoder model;
    std::vector<std::vector<token>> texts;
};

double least_cosine(const matrix& a, const matrix& b) {
    return double((a.array() * b.array()).rowwise().sum().minCoeff());
}

TEST_CASE("vectors of eight texts are transformers'") {
    const loaded m;
    REQUIRE(m.texts.size() == 8);
    const matrix expected = golden::load("models", "bert").matrix<float>("vectors");
    const matrix found = m.model.encode(m.texts, one_thread);
    CHECK(least_cosine(found, expected) >= 1 - 1e-6);
    CHECK((found - expected).cwiseAbs().maxCoeff() < 1e-5F);
    CHECK(least_cosine(loaded(precision::bfloat16).model.encode(m.texts, one_thread), expected) >
          0.999);
    CHECK(least_cosine(loaded(precision::int8).model.encode(m.texts, one_thread), expected) > 0.99);
}

TEST_CASE("a text has the same bits alone, in a batch and with threads") {
    const loaded m;
    Eigen::ThreadPool pool(2);
    const matrix together = m.model.encode(m.texts, {&pool});
    for (std::size_t text = 0; text < m.texts.size(); ++text) {
        INFO("text " << text);
        const matrix alone = m.model.encode(std::span(m.texts).subspan(text, 1), one_thread);
        CHECK(alone.row(0) == together.row(index(text)));
    }
    CHECK(m.model.encode({}, one_thread).rows() == 0);
}

TEST_CASE("a damaged configuration is read or refused") {
    const loaded m;
    const std::string config(examples::mapped_file(m.folder / "config.json").text());
    examples_test::fuzz(config, 9, 500, [](std::string_view file) {
        (void)read_configuration(examples::parse_json(file));
    });
}

TEST_CASE("texts and files that do not fit are refused") {
    const loaded m;
    const auto refused = [&](std::vector<token> text, const std::string& message) {
        const std::vector<std::vector<token>> texts{m.texts[0], std::move(text)};
        CHECK_THROWS_WITH(m.model.encode(texts, one_thread), message);
    };
    refused({}, "a text has 0 tokens, but it must have from 1 to 48");
    refused(std::vector<token>(49), "a text has 49 tokens, but it must have from 1 to 48");
    refused({200}, "token 200, but the model knows 200");

    configuration sizes = m.sizes;
    sizes.inner = 25;
    CHECK_THROWS_WITH(sentence_encoder(sizes, m.files.tensors, precision::float32),
                      "tensor encoder.layer.0.intermediate.dense.weight is [24, 16], but the model "
                      "needs [25, 16]");
    const std::string kinds = "embeddings.token_type_embeddings.weight";
    for (const auto& [extents, shape] : {std::pair(std::vector<index>{0, 16}, "[0, 16]"),
                                         {std::vector<index>{}, "[]"},
                                         {std::vector<index>{1, 16}, "[1, 16]"}}) {
        examples::tensor_table tensors;
        for (auto [name, tensor] : m.files.tensors) {
            if (name == kinds) tensor.extents = extents;
            tensors.add(name, tensor);
        }
        CHECK_THROWS_WITH(sentence_encoder(m.sizes, tensors, precision::float32),
                          "tensor " + kinds + " is " + shape + ", but the model needs [2, 16]");
    }
    const auto wrong = [&](const char* changed, const char* message) {
        auto config = examples::json::parse(
            R"({"model_type":"bert","hidden_act":"gelu","vocab_size":9,"hidden_size":8,
                "intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,
                "max_position_embeddings":64,"layer_norm_eps":1e-5})");
        CHECK_NOTHROW(read_configuration(config));
        config.update(examples::json::parse(changed));
        CHECK_THROWS_WITH(read_configuration(config), message);
    };
    wrong(R"({"hidden_act":"relu"})", "hidden_act is \"relu\", but this program knows gelu");
    wrong(R"({"num_attention_heads":3})", "hidden_size, 8, is not a whole number of 3 heads");
    wrong(R"({"vocab_size":0})", "vocab_size is no whole number from 1 to 16777216");
    wrong(R"({"layer_norm_eps":null})", "has no layer_norm_eps");
    wrong(R"({"type_vocab_size":0})", "type_vocab_size is no whole number from 1 to 16777216");
}

}  // namespace encoder::test_encoder
