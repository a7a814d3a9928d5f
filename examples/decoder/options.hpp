#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "generate.hpp"
#include "support/linear_layer.hpp"

namespace decoder {

/// What the command line can say, with what holds when it says nothing.
struct options {
    std::filesystem::path model;
    std::vector<std::string> prompts;
    std::optional<std::filesystem::path> measured_text;  ///< whose perplexity is wanted
    bool check_bits = false;

    precision weights = precision::float32;
    precision cache = precision::float32;
    int threads = 0;  ///< 0: as many as the machine has

    index tokens = 64;
    index window = 1024;  ///< of the perplexity
    sampling how;
    bool quiet = false;
};

/// Reads the command line. Empty when the program should end with `status` at once: after --help,
/// or after an error, which has been printed.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace decoder
