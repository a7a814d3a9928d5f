#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "matrix.hpp"

namespace char_lm {

/// The files to read: those given, the files within folders that are given, or, when nothing is
/// given, Eigen's headers, wherever they are installed. Sorted; throws failure when one is missing.
std::vector<std::filesystem::path> find_files(const std::vector<std::filesystem::path>& given);

/// A text as numbers. Characters are bytes: every text has at most 256, UTF-8 included.
class corpus {
  public:
    /// Reads all files, in an order that `seed` decides, with no more than eight spaces in a row,
    /// and keeps the last tenth (at least one window) for validation. A window is `context`
    /// characters and the one that follows; a text that does not hold two of them is a failure, as
    /// is an empty one.
    corpus(const std::vector<std::filesystem::path>& files, index context, std::uint64_t seed);

    [[nodiscard]] std::span<const token> training() const;
    [[nodiscard]] std::span<const token> validation() const;
    [[nodiscard]] index vocabulary_size() const { return static_cast<index>(characters_.size()); }

    /// The character of a token, with everything a terminal could not show as a question mark.
    [[nodiscard]] std::string show(std::span<const token> tokens) const;

    /// Whole lines of a stretch of text, from its second line on, that together have at least
    /// `length` characters; where it has no such lines, its first `length` characters.
    [[nodiscard]] std::span<const token> whole_lines(std::span<const token> tokens,
                                                     index length) const;

    /// What a guess costs, in nats a character, that knows only how often each character occurs
    /// (order 0), or each pair of characters (order 1): what a model must beat.
    [[nodiscard]] double entropy(int order) const;

  private:
    std::vector<token> tokens_;
    std::size_t training_size_ = 0;
    std::string characters_;  ///< token to character
};

}  // namespace char_lm
