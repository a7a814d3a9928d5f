#pragma once

#include <filesystem>
#include <vector>

#include "measurement.hpp"

namespace length_extrapolation {

/// A row for each method, a column for each text and length.
void print_accuracy(const std::vector<reading>& readings, const std::vector<index>& lengths);

void print_entropy(const std::vector<entropy_curve>& curves, const std::vector<index>& lengths);

/// accuracy.csv and entropy.csv: a line for each number, below a line of names.
void write_accuracy(const std::filesystem::path& file, const std::vector<reading>& readings,
                    const std::vector<index>& lengths);
void write_entropy(const std::filesystem::path& file, const std::vector<entropy_curve>& curves);

/// Pictures of what was written. False if gnuplot is missing or fails.
bool draw_accuracy(const std::filesystem::path& picture, const std::filesystem::path& csv,
                   index context);
bool draw_entropy(const std::filesystem::path& picture, const std::filesystem::path& csv,
                  const std::vector<entropy_curve>& curves, index context);

}  // namespace length_extrapolation
