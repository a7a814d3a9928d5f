#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "matrix.hpp"
#include "model.hpp"

namespace length_extrapolation {

using char_lm::index;

/// What a file of trained parameters says of itself.
struct checkpoint_header {
    std::string model;            ///< the recipe's name
    char_lm::architecture sizes;  ///< but its scale and bias, which the recipe decides
    std::uint64_t text = 0;       ///< fingerprint() of what it was trained on
    index steps = 0;
    double seconds = 0;
};

/// A number that another text hardly has.
std::uint64_t fingerprint(std::span<const char_lm::token> text);

/// A few lines of words and numbers, an empty line, and the parameters as floats of this machine.
void save_checkpoint(const std::filesystem::path& file, const checkpoint_header& header,
                     std::span<const float> parameters);

/// Fills `parameters`, and steps and seconds of the header; all else must be what `expected` says.
/// Throws char_lm::failure where a file is missing, broken or of another model or text.
checkpoint_header load_checkpoint(const std::filesystem::path& file, checkpoint_header expected,
                                  std::span<float> parameters);

}  // namespace length_extrapolation
