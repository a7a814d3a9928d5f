#include "byte_pairs.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

#include "characters.hpp"
#include "file_error.hpp"

namespace examples {

namespace {

/// The bytes that a token's visible characters stand for: those that can be seen are themselves,
/// the others are U+0100 and on. Text with any other character is taken as it is.
std::string unwritten(const std::string& text) {
    static const std::vector<int> bytes_by_code = [] {
        std::vector<int> bytes(512, -1);
        std::size_t next = 256;
        for (int byte = 0; byte < 256; ++byte) {
            const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
            bytes[visible ? std::size_t(byte) : next++] = byte;
        }
        return bytes;
    }();
    std::string bytes;
    for (const character& c : characters_of(text)) {
        if (c.code >= bytes_by_code.size() || bytes_by_code[c.code] < 0) return text;
        bytes += static_cast<char>(bytes_by_code[c.code]);
    }
    return bytes;
}

}  // namespace

byte_pairs::byte_pairs(const byte_pairs_vocabulary& vocabulary)
    : whole_(vocabulary.whole),
      prefix_(vocabulary.prefix),
      rules_(vocabulary.rules),
      words_first_(vocabulary.words_first) {
    for (const std::string& text : vocabulary.tokens) bytes_.push_back(unwritten(text));
    for (const auto& [text, number] : whole_) {
        if (text.empty())
            throw file_error("token " + std::to_string(number) +
                             " is one that is never taken apart, but it has no text");
        if (number < 0 || std::size_t(number) >= bytes_.size())
            throw file_error("token \"" + text + "\" has the number " + std::to_string(number) +
                             ", but there are " + std::to_string(bytes_.size()));
        bytes_[std::size_t(number)] = text;
    }
    std::vector<bool> is_whole(bytes_.size());
    for (const auto& entry : whole_) is_whole[std::size_t(entry.second)] = true;
    for (std::size_t t = 0; t < bytes_.size(); ++t)
        if (!bytes_[t].empty() && !is_whole[t] && !numbers_.emplace(bytes_[t], token(t)).second)
            throw file_error("token \"" + vocabulary.tokens[t] + "\" is there twice");
    // Of two that begin alike the longer one is looked for first.
    std::stable_sort(whole_.begin(), whole_.end(),
                     [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });

    const auto known = [&](const std::string& bytes, const std::string& written) {
        if (const auto number = find(bytes)) return *number;
        throw file_error("a merge needs the token \"" + written + "\", which is none");
    };
    for (std::size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
        const auto& [left, right] = vocabulary.merges[rank];
        const std::string a = unwritten(left), b = unwritten(right);
        const token result = known(a + b, left + right);
        merges_.emplace(key(known(a, left), known(b, right)), merge{rank, result});
    }
    for (const token t : prefix_)
        if (t < 0 || std::size_t(t) >= bytes_.size())
            throw file_error("a text begins with the token " + std::to_string(t) +
                             ", but there are " + std::to_string(bytes_.size()));
}

std::optional<token> byte_pairs::find(const std::string& bytes) const {
    const auto found = numbers_.find(bytes);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

const std::string& byte_pairs::bytes_of(token t) const {
    static const std::string none;
    return t >= 0 && std::size_t(t) < bytes_.size() ? bytes_[std::size_t(t)] : none;
}

std::vector<token> byte_pairs::encode(std::string_view text) const {
    std::vector<token> tokens = prefix_;
    std::size_t begin = 0;  // of what has no token yet
    for (std::size_t at = 0; at < text.size();) {
        const auto found = std::find_if(whole_.begin(), whole_.end(), [&](const auto& entry) {
            return text.substr(at).starts_with(entry.first);
        });
        if (found == whole_.end()) {
            ++at;
            continue;
        }
        add_words(text.substr(begin, at - begin), tokens);
        tokens.push_back(found->second);
        begin = at += found->first.size();
    }
    add_words(text.substr(begin), tokens);
    return tokens;
}

void byte_pairs::add_words(std::string_view text, std::vector<token>& to) const {
    const std::string normal = rules_.compose ? composed(text) : std::string(text);
    for (const std::string_view word : split_words(normal, rules_)) add_word(word, to);
}

void byte_pairs::add_word(std::string_view word, std::vector<token>& to) const {
    if (words_first_)
        if (const auto number = find(std::string(word))) return to.push_back(*number);
    std::vector<token> pieces;
    for (const char byte : word) {
        const auto number = find(std::string(1, byte));
        if (!number) {
            std::array<char, 8> text{};
            std::snprintf(text.data(), text.size(), "0x%02X", unsigned(std::uint8_t(byte)));
            throw std::runtime_error(std::string("the vocabulary has no token for the byte ") +
                                     text.data());
        }
        pieces.push_back(*number);
    }
    for (;;) {
        const merge* best = nullptr;
        std::size_t place = 0;
        for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
            const auto found = merges_.find(key(pieces[i], pieces[i + 1]));
            if (found == merges_.end()) continue;
            if (best != nullptr && found->second.rank >= best->rank) continue;
            best = &found->second;
            place = i;
        }
        if (best == nullptr) break;
        pieces[place] = best->result;
        pieces.erase(pieces.begin() + std::ptrdiff_t(place) + 1);
    }
    to.insert(to.end(), pieces.begin(), pieces.end());
}

}  // namespace examples
