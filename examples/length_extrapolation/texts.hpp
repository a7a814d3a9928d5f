#pragma once

#include <span>
#include <string>
#include <vector>

#include "evaluate.hpp"
#include "matrix.hpp"

namespace length_extrapolation {

using char_lm::index;
using char_lm::token;

/// Windows of text to predict the last characters of.
struct measured_text {
    std::string name;
    std::vector<std::vector<token>> own;  ///< what the windows view, where it is not the corpus
    std::vector<char_lm::text_window> windows;
};

/// Ordinary windows spread over a text.
measured_text ordinary_text(std::span<const token> text, index length, index context, index count);

/// The last `period` characters of each ordinary window, over and over: what is predicted stays the
/// same, but has been seen before, `period` characters ago.
measured_text repeated_text(const measured_text& ordinary, index period);

}  // namespace length_extrapolation
