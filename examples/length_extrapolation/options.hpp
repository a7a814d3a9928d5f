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
    bool quick = false;     ///< smaller models, but for what is given
    bool quiet = false;

    /// Of each model.
    char_lm::training_settings training{.repeating = 0.5, .learning_rate = 5e-3};
    int threads = 0;     ///< 0: as many as the machine has
    index windows = 48;  ///< of each text

    index context = 128;
    index layers = 3;
    index heads = 2;
    index width = 64;
};

/// Reads the command line. Empty when the program should end with `status` at once.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace length_extrapolation
