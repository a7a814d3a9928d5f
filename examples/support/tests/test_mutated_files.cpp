#include <stdexcept>
#include <string>
#include <string_view>

#include "damaged_files.hpp"
#include "file_bytes.hpp"
#include "support/byte_pairs.hpp"
#include "support/catch.hpp"
#include "support/gguf.hpp"
#include "support/safetensors.hpp"
#include "support/tokenizer_json.hpp"
#include "support/word_pieces.hpp"

namespace examples_test::mutated_files {

volatile double sum_of_all = 0;  // so that the compiler leaves nothing out

/// Every number of every tensor that can be read.
void read_all(const examples::tensor_table& tensors) {
    double sum = 0;
    for (const auto& [name, tensor] : tensors) {
        if (tensor.format->widen == nullptr || tensor.extents.size() != 2) continue;
        const auto weights = tensors.weights(name, tensor.extents[0], tensor.extents[1]);
        sum += static_cast<double>(weights.sum());
    }
    sum_of_all = sum;
}

TEST_CASE("damaged safetensors files are read or refused, and never beyond their end") {
    fuzz(contents("bert/model.safetensors"), 1, 3000,
         [](std::string_view file) { read_all(examples::read_safetensors(bytes(file))); });
}

TEST_CASE("damaged GGUF files are read or refused, and never beyond their end") {
    fuzz(contents("llama.gguf"), 2, 3000,
         [](std::string_view file) { read_all(examples::read_gguf(bytes(file)).tensors); });
}

TEST_CASE("damaged tokenizer files are read or refused") {
    const auto encode = [](const examples::byte_pairs_vocabulary& read) {
        const examples::byte_pairs vocabulary(read);
        try {
            (void)vocabulary.encode("In 2017 there were\n\n 8 heads, <|end|> weren't there?");
        } catch (const examples::file_error&) {
            throw;
        } catch (const std::runtime_error&) {
            // a byte without a token
        }
    };
    fuzz(contents("llama/tokenizer.json"), 3, 500,
         [&](std::string_view file) { encode(examples::read_tokenizer_json(file)); });
    const std::string merges = contents("qwen2/merges.txt"), vocab = contents("qwen2/vocab.json");
    fuzz(vocab, 4, 300,
         [&](std::string_view file) { encode(examples::read_vocab_and_merges(file, merges)); });
    fuzz(merges, 5, 300,
         [&](std::string_view file) { encode(examples::read_vocab_and_merges(vocab, file)); });
    fuzz(contents("bert/vocab.txt"), 6, 300, [](std::string_view file) {
        (void)examples::word_pieces(file).encode("In 2017 there were 8 heads; naïve.", 64);
    });
}

}  // namespace examples_test::mutated_files
