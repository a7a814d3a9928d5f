#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer.hpp"

namespace char_lm {

/// What the command line can say, with what holds when it says nothing.
struct options {
    std::vector<std::filesystem::path> files;  ///< none: the installed Eigen headers
    std::filesystem::path out = "char_lm_output";

    training_settings training;
    int threads = 0;  ///< 0: as many as the machine has

    std::ptrdiff_t context = 128;
    std::ptrdiff_t layers = 4;
    std::ptrdiff_t heads = 4;
    std::ptrdiff_t width = 128;
    std::string attention = "softmax";  ///< or one whose cost is linear
    std::string normaliser = "softmax";
    bool log_n = false;  ///< scores scaled by log n in training too

    std::ptrdiff_t characters = 700;  ///< length of the sample
    double temperature = 0.6;
    bool quiet = false;
};

/// Reads the command line. Empty when the program should end with `status` at once: after --help,
/// or after an error, which has been printed.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace char_lm
