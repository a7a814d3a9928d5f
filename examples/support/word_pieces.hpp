#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace examples {

/// Text to tokens as BERT's uncased models have it: words in lower case without accents, cut at
/// spaces, punctuation and ideographs, and each taken apart from its beginning into the longest
/// pieces of the vocabulary, which are written with ## where they go on (arXiv 1609.08144). [PAD],
/// [UNK], [CLS], [SEP] and [MASK] are one token each where a text has them so, in capitals.
class word_pieces {
  public:
    /// Of a vocab.txt, a token a line. Throws file_error for a line that is there twice, and where
    /// [UNK], [CLS] or [SEP] is missing.
    explicit word_pieces(std::string_view vocab_txt, bool lower_case = true);

    /// The tokens of a text between [CLS] and [SEP], cut to `longest` of them, which is 2 or more.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                   std::size_t longest) const;

    [[nodiscard]] std::size_t size() const { return numbers_.size(); }

  private:
    [[nodiscard]] std::vector<std::string> words_of(std::string_view text) const;
    /// Until there are `longest` tokens or more.
    void add_words(std::string_view text, std::size_t longest, std::vector<std::int32_t>& to) const;
    void add_word(const std::string& word, std::vector<std::int32_t>& to) const;

    std::unordered_map<std::string, std::int32_t> numbers_;
    std::vector<std::pair<std::string, std::int32_t>> whole_;  ///< are never taken apart
    std::int32_t unknown_ = 0, begin_ = 0, end_ = 0;
    bool lower_case_;
};

}  // namespace examples
