#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "word_rules.hpp"

namespace examples {

/// A piece of text, as its number in the vocabulary.
using token = std::int32_t;

/// What a file says of a byte-level byte-pair encoding; tokens and merges are written as files have
/// them, a visible character for each byte.
struct byte_pairs_vocabulary {
    std::vector<std::string> tokens;                          ///< by their number; "" is none
    std::vector<std::pair<std::string, std::string>> merges;  ///< the first is merged first
    std::vector<std::pair<std::string, token>> whole;         ///< always one token, as <|end|>
    std::vector<token> prefix;                                ///< stands before every text
    word_rules rules;
    bool words_first = false;  ///< a word that is a token itself is not put together by merges
};

/// Text to tokens and back as GPT-2, Llama 3, Qwen 2 and SmolLM do it: words, their bytes, and
/// neighbours merged as long as there is a merge for two of them, the earliest in the list first
/// (Sennrich et al., arXiv 1508.07909).
class byte_pairs {
  public:
    /// Throws file_error for a token that there is twice, and for a merge of what are no tokens.
    explicit byte_pairs(const byte_pairs_vocabulary& vocabulary);

    /// The tokens of a text, behind what stands before every text. Throws std::runtime_error for a
    /// byte that the vocabulary does not have. Time grows with the square of a word's length.
    [[nodiscard]] std::vector<token> encode(std::string_view text) const;

    /// The bytes that a token stands for; a character may take several tokens. None for a number
    /// beyond them, as models have some to fill their tables up.
    [[nodiscard]] const std::string& bytes_of(token t) const;

    [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  private:
    struct merge {
        std::size_t rank;
        token result;
    };

    void add_words(std::string_view text, std::vector<token>& to) const;
    void add_word(std::string_view word, std::vector<token>& to) const;
    [[nodiscard]] std::optional<token> find(const std::string& bytes) const;
    static std::uint64_t key(token left, token right) {
        return (std::uint64_t(std::uint32_t(left)) << 32) | std::uint32_t(right);
    }

    std::vector<std::string> bytes_;
    std::unordered_map<std::string, token> numbers_;
    std::unordered_map<std::uint64_t, merge> merges_;
    std::vector<std::pair<std::string, token>> whole_;
    std::vector<token> prefix_;
    word_rules rules_;
    bool words_first_;
};

}  // namespace examples
