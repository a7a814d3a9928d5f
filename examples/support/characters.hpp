#pragma once

#include <string>
#include <string_view>
#include <vector>

/// \file
/// Text as characters of Unicode: what tokenizers ask of them. The tables are utf8proc's.

namespace examples {

/// One character of a text in UTF-8; a byte that belongs to none is a character of its own, U+FFFD.
struct character {
    char32_t code;
    std::size_t begin;  ///< where its bytes lie
    std::size_t size;
};

std::vector<character> characters_of(std::string_view text);

/// Appends its bytes.
void append(std::string& text, char32_t code);

bool is_letter(char32_t code);       ///< \p{L}
bool is_number(char32_t code);       ///< \p{N}
bool is_space(char32_t code);        ///< \s
bool is_mark(char32_t code);         ///< \p{Mn}: accents and the like
bool is_punctuation(char32_t code);  ///< \p{P}, and what of ASCII is no letter, number or space
bool is_control(char32_t code);      ///< \p{C} but for tabs and ends of lines
bool is_han(char32_t code);          ///< the blocks of CJK ideographs

char32_t lower_case(char32_t code);

/// Canonically composed (NFC) or decomposed (NFD). What is no UTF-8 stays as it is.
std::string composed(std::string_view text);
std::string decomposed(std::string_view text);

}  // namespace examples
