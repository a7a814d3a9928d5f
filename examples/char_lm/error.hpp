#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace char_lm {

/// What the program says to the shell that started it. Every kind of failure has its own number;
/// CLI11's own, for options that it cannot read, start at 100.
enum class exit_code {
    success = 0,
    unexpected = 1,         ///< nothing we foresaw
    bad_options = 2,        ///< options that do not fit one another
    missing_file = 3,       ///< a file that is not there or cannot be read
    empty_text = 4,         ///< files without a character
    short_text = 5,         ///< a text shorter than the windows that training needs
    unwritable_folder = 6,  ///< an output folder that cannot be made or written to
};

/// A failure that the person who started the program can do something about.
class failure : public std::runtime_error {
  public:
    failure(exit_code code, const std::string& message)
        : std::runtime_error(message), code_(code) {}
    [[nodiscard]] exit_code code() const { return code_; }

  private:
    exit_code code_;
};

/// Closes what was written to `file`; a failure if not all of it is there, as on a full disk.
inline void close_written(std::ofstream& stream, const std::filesystem::path& file) {
    stream.close();
    if (!stream)
        throw failure(exit_code::unwritable_folder, "cannot write all of " + file.string());
}

}  // namespace char_lm
