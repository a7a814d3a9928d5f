#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiment.hpp"

namespace linear_recall {

/// What the command line can say, with what holds when it says nothing.
struct options {
    std::vector<std::filesystem::path> files;  ///< none: the installed Eigen headers
    std::filesystem::path out = "linear_recall_output";
    std::vector<std::string> attentions;  ///< none: all of them
    bool quick = false;                   ///< fewer steps, if not given
    bool quiet = false;
    int threads = 0;  ///< 0: as many as the machine has
    experiment how;
};

/// Reads the command line. Empty when the program should end with `status` at once.
std::optional<options> read_options(int count, char** arguments, int& status);

}  // namespace linear_recall
