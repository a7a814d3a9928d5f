#include "word_pieces.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "characters.hpp"
#include "file_error.hpp"

namespace examples {

namespace {

constexpr std::size_t longest_word = 100;  // characters; a longer word is unknown

/// Without control characters; a space is ' ', ideographs stand alone.
std::string cleaned(std::string_view text) {
    std::string clean;
    for (const character& c : characters_of(text)) {
        if (c.code == 0 || c.code == 0xFFFD || is_control(c.code)) continue;
        if (is_space(c.code)) {
            clean += ' ';
        } else if (is_han(c.code)) {
            clean += ' ';
            append(clean, c.code);
            clean += ' ';
        } else {
            append(clean, c.code);
        }
    }
    return clean;
}

std::string without_accents(std::string_view text) {
    std::string plain;
    for (const character& c : characters_of(decomposed(text)))
        if (!is_mark(c.code)) append(plain, lower_case(c.code));
    return plain;
}

}  // namespace

word_pieces::word_pieces(std::string_view vocab_txt, bool lower_case) : lower_case_(lower_case) {
    while (!vocab_txt.empty()) {
        const std::size_t end = std::min(vocab_txt.find('\n'), vocab_txt.size());
        std::string_view line = vocab_txt.substr(0, end);
        vocab_txt.remove_prefix(std::min(end + 1, vocab_txt.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        const auto number = static_cast<std::int32_t>(numbers_.size());
        if (!numbers_.emplace(line, number).second)
            throw file_error("token \"" + std::string(line) + "\" is there twice");
    }
    const auto known = [&](const char* name) {
        const auto found = numbers_.find(name);
        if (found == numbers_.end()) throw file_error(std::string("there is no token ") + name);
        return found->second;
    };
    unknown_ = known("[UNK]");
    begin_ = known("[CLS]");
    end_ = known("[SEP]");
    for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
        if (const auto found = numbers_.find(name); found != numbers_.end())
            whole_.emplace_back(name, found->second);
}

std::vector<std::int32_t> word_pieces::encode(std::string_view text, std::size_t longest) const {
    std::vector<std::int32_t> tokens{begin_};
    std::size_t begin = 0;  // of what has no token yet
    for (std::size_t at = 0; at < text.size() && tokens.size() < longest;) {
        const auto found = std::find_if(whole_.begin(), whole_.end(), [&](const auto& entry) {
            return text.substr(at).starts_with(entry.first);
        });
        if (found == whole_.end()) {
            ++at;
            continue;
        }
        add_words(text.substr(begin, at - begin), longest, tokens);
        tokens.push_back(found->second);
        begin = at += found->first.size();
    }
    add_words(text.substr(begin), longest, tokens);
    tokens.resize(std::min(tokens.size(), longest - 1));
    tokens.push_back(end_);
    return tokens;
}

void word_pieces::add_words(std::string_view text, std::size_t longest,
                            std::vector<std::int32_t>& to) const {
    for (const std::string& word : words_of(text)) {
        if (to.size() >= longest) break;
        add_word(word, to);
    }
}

std::vector<std::string> word_pieces::words_of(std::string_view text) const {
    std::string clean = cleaned(text);
    if (lower_case_) clean = without_accents(clean);
    std::vector<std::string> words;
    bool goes_on = false;
    for (const character& c : characters_of(clean)) {
        const bool alone = is_punctuation(c.code);
        if (!is_space(c.code)) {
            if (alone || !goes_on) words.emplace_back();
            append(words.back(), c.code);
        }
        goes_on = !alone && !is_space(c.code);
    }
    return words;
}

void word_pieces::add_word(const std::string& word, std::vector<std::int32_t>& to) const {
    const std::vector<character> all = characters_of(word);
    std::vector<std::int32_t> pieces;
    for (std::size_t at = 0; at < all.size() && all.size() <= longest_word;) {
        std::optional<std::int32_t> found;
        std::size_t end = all.size();
        for (; end > at && !found; --end) {
            const std::size_t from = all[at].begin,
                              to_byte = all[end - 1].begin + all[end - 1].size;
            const auto piece =
                numbers_.find((at > 0 ? "##" : "") + word.substr(from, to_byte - from));
            if (piece != numbers_.end()) found = piece->second;
        }
        if (!found) {
            pieces.clear();
            break;
        }
        pieces.push_back(*found);
        at = end + 1;  // the loop has gone one further
    }
    if (pieces.empty()) pieces.push_back(unknown_);
    to.insert(to.end(), pieces.begin(), pieces.end());
}

}  // namespace examples
