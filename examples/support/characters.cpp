#include "characters.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utf8proc.h>
#include <utility>

namespace examples {

namespace {

utf8proc_category_t category(char32_t code) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool lies_between(utf8proc_category_t category, utf8proc_category_t first,
                  utf8proc_category_t last) {
    return category >= first && category <= last;
}

std::string mapped(std::string_view text, int how) {
    utf8proc_uint8_t* bytes = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &bytes,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | how));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, &std::free);
    if (size < 0) return std::string(text);
    return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

}  // namespace

std::vector<character> characters_of(std::string_view text) {
    std::vector<character> all;
    all.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        utf8proc_int32_t code = 0;
        const auto left = static_cast<utf8proc_ssize_t>(text.size() - at);
        auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                     left, &code);
        if (size < 1) {
            size = 1;
            code = 0xFFFD;
        }
        all.push_back({static_cast<char32_t>(code), at, static_cast<std::size_t>(size)});
        at += static_cast<std::size_t>(size);
    }
    return all;
}

void append(std::string& text, char32_t code) {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes.data());
    text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size));
}

bool is_letter(char32_t code) {
    return lies_between(category(code), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}

bool is_number(char32_t code) {
    return lies_between(category(code), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool is_space(char32_t code) {
    return (code >= '\t' && code <= '\r') || code == 0x85 ||
           lies_between(category(code), UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZP);
}

bool is_mark(char32_t code) { return category(code) == UTF8PROC_CATEGORY_MN; }

bool is_punctuation(char32_t code) {
    if (code > ' ' && code < 127) return !is_letter(code) && !is_number(code);
    return lies_between(category(code), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

bool is_control(char32_t code) {
    if (code == '\t' || code == '\n' || code == '\r') return false;
    return lies_between(category(code), UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO) ||
           category(code) == UTF8PROC_CATEGORY_CN;
}

bool is_han(char32_t code) {
    static constexpr std::pair<char32_t, char32_t> blocks[] = {
        {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
        {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return std::any_of(std::begin(blocks), std::end(blocks), [code](const auto& block) {
        return code >= block.first && code <= block.second;
    });
}

char32_t lower_case(char32_t code) {
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

std::string composed(std::string_view text) { return mapped(text, UTF8PROC_COMPOSE); }

std::string decomposed(std::string_view text) { return mapped(text, UTF8PROC_DECOMPOSE); }

}  // namespace examples
