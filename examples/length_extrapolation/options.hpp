#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "trainer.hpp"

namespace length_extrapolation {

using char_lm::index;

/// What the command line can say, with what holds when it says nothing.
struct options {
    std::vector<std::filesystem::path> files;  ///< none: the installed Eigen headers
    std::filesystem::path out = "length_extrapolation_output";
    bool evaluate = false;  ///< the checkpoints of an earlier run, without training
    bool quick = false;
    bool quiet = false;

    char_lm::training_settings training;  ///< of each model
    int threads = 0;                      ///< 0: as many as the machine has
    index windows = 24;                   ///< of each text

    index context = 128;
    index layers = 4;
    index heads = 4;
    index width = 128;
};

/// Reads the command line. Empty when the program should end with `status` at once.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace length_extrapolation
