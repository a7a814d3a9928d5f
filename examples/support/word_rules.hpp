#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// How a text is cut into words before byte pairs are merged, none of which then spans two words:
/// what tokenizer files say by a regular expression.
///
/// GPT-2's: 's, 't, 're, 've, 'm, 'll, 'd; letters, numbers or others, each with a space before
/// them or not; spaces but for the last one; spaces. Llama 3's: the same endings, in capitals too;
/// letters behind one that is neither letter, number nor end of a line; up to three numbers; others
/// with a space before and ends of lines behind them; spaces up to an end of a line; spaces as
/// GPT-2's. The first that fits decides.
struct word_rules {
    bool llama = false;                                            ///< Llama 3's, else GPT-2's
    std::size_t digits = std::numeric_limits<std::size_t>::max();  ///< numbers that stand together
    bool numbers_apart = false;  ///< cut before and behind each number first, as SmolLM has it
    bool compose = false;        ///< to NFC first
};

/// Of a model by the name that GGUF files give them; nothing for a name that is not known.
std::optional<word_rules> word_rules_named(std::string_view name);

/// By the regular expression of a tokenizer.json; nothing for one that is not known.
std::optional<word_rules> word_rules_by_pattern(std::string_view pattern);

/// The words of a text, in order; together they are the text. O(length).
std::vector<std::string_view> split_words(std::string_view text, const word_rules& rules);

}  // namespace examples
