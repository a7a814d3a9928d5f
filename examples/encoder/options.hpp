#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sentence_encoder.hpp"

namespace encoder {

/// What the command line can say, with what holds when it says nothing.
struct options {
    std::filesystem::path model;
    std::vector<std::string> texts;
    std::optional<std::filesystem::path> file;  ///< more texts, a line each
    std::optional<std::filesystem::path> out;   ///< for the vectors
    precision weights = precision::float32;
    bool cased = false;
    index batch = 32;
    index longest = 256;  ///< tokens of a text
    int threads = 0;      ///< 0: as many as the machine has
    bool quiet = false;
};

/// Reads the command line. Empty when the program should end with `status` at once: after --help,
/// or after an error, which has been printed.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace encoder
