#include "word_rules.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "characters.hpp"

namespace examples {

namespace {

constexpr word_rules gpt2{};
constexpr word_rules llama3{.llama = true, .digits = 3};
constexpr word_rules qwen2{.llama = true, .digits = 1, .compose = true};
constexpr word_rules smollm{.numbers_apart = true};

enum class kind { letter, number, line_end, space, other };

kind kind_of(char32_t code) {
    if (code == '\r' || code == '\n') return kind::line_end;
    if (is_space(code)) return kind::space;
    if (is_letter(code)) return kind::letter;
    return is_number(code) ? kind::number : kind::other;
}

/// Characters and their kinds, from one of which on a word is looked for.
class cutter {
  public:
    cutter(std::span<const character> text, const word_rules& rules) : text_(text), rules_(rules) {
        for (const character& c : text) kinds_.push_back(kind_of(c.code));
    }

    /// How many characters the word that begins here has: the first rule that fits decides.
    [[nodiscard]] std::size_t word(std::size_t at) const {
        if (const std::size_t size = contraction(at)) return size;
        const bool space = text_[at].code == ' ';
        const std::size_t behind_space = at + (space ? 1 : 0);
        const bool leads = rules_.llama ? is(at, kind::space) || is(at, kind::other) : space;
        const std::size_t begin = at + (leads ? 1 : 0);
        if (const std::size_t letters = run(begin, kind::letter)) return begin - at + letters;
        const std::size_t first_number = rules_.llama ? at : behind_space;
        if (const std::size_t numbers = run(first_number, kind::number))
            return first_number - at + std::min(numbers, rules_.digits);
        if (const std::size_t others = run(behind_space, kind::other)) {
            const std::size_t end = behind_space + others;
            return end - at + (rules_.llama ? run(end, kind::line_end) : 0);
        }
        return spaces(at);
    }

  private:
    [[nodiscard]] bool is(std::size_t at, kind wanted) const {
        return at < text_.size() && kinds_[at] == wanted;
    }

    [[nodiscard]] std::size_t run(std::size_t at, kind wanted) const {
        std::size_t count = 0;
        while (is(at + count, wanted)) ++count;
        return count;
    }

    /// As 'll in "we'll".
    [[nodiscard]] std::size_t contraction(std::size_t at) const {
        if (text_[at].code != '\'') return 0;
        static constexpr std::array<std::string_view, 7> endings{"s", "t",  "re", "ve",
                                                                 "m", "ll", "d"};
        for (const std::string_view ending : endings) {
            if (text_.size() - at <= ending.size()) continue;
            std::size_t same = 0;
            while (same < ending.size() && matches(text_[at + 1 + same].code, ending[same])) ++same;
            if (same == ending.size()) return 1 + ending.size();
        }
        return 0;
    }
    [[nodiscard]] bool matches(char32_t code, char letter) const {
        const auto wanted = static_cast<char32_t>(letter);
        if (!rules_.llama) return code == wanted;
        return lower_case(code) == wanted || (code == 0x17F && letter == 's');  // ſ is an s too
    }

    /// Spaces: with Llama's rules up to the last end of a line among them; else all but the last
    /// one, which belongs to the word behind it, if there is one.
    [[nodiscard]] std::size_t spaces(std::size_t at) const {
        std::size_t end = at, behind_line = at;
        for (; is(end, kind::space) || is(end, kind::line_end); ++end)
            if (is(end, kind::line_end)) behind_line = end + 1;
        if (rules_.llama && behind_line > at) return behind_line - at;
        if (end < text_.size() && end - at > 1) --end;
        return end - at;
    }

    std::span<const character> text_;
    const word_rules& rules_;
    std::vector<kind> kinds_;
};

void cut(std::string_view text, std::span<const character> all, const word_rules& rules,
         std::vector<std::string_view>& words) {
    const cutter cutter(all, rules);
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t end = at + cutter.word(at);
        const character& last = all[end - 1];
        words.push_back(text.substr(all[at].begin, last.begin + last.size - all[at].begin));
        at = end;
    }
}

}  // namespace

std::optional<word_rules> word_rules_named(std::string_view name) {
    if (name == "gpt-2" || name == "gpt2") return gpt2;
    if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") return llama3;
    if (name == "qwen2") return qwen2;
    if (name == "smollm") return smollm;
    return std::nullopt;
}

std::optional<word_rules> word_rules_by_pattern(std::string_view pattern) {
    const std::string words = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
    const std::string rest = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    if (pattern == words + "{1,3}" + rest) return llama3;
    if (pattern == words + rest) return word_rules{.llama = true, .digits = 1};
    if (pattern == R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)")
        return gpt2;
    return std::nullopt;
}

std::vector<std::string_view> split_words(std::string_view text, const word_rules& rules) {
    const std::vector<character> all = characters_of(text);
    std::vector<std::string_view> words;
    if (!rules.numbers_apart) {
        cut(text, all, rules, words);
        return words;
    }
    const std::span<const character> whole(all);
    for (std::size_t at = 0; at < all.size();) {
        std::size_t end = at;
        while (end < all.size() && !is_number(all[end].code)) ++end;
        if (end == at) ++end;
        cut(text, whole.subspan(at, end - at), rules, words);
        at = end;
    }
    return words;
}

}  // namespace examples
