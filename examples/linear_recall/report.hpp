#pragma once

#include <filesystem>
#include <vector>

#include "experiment.hpp"

namespace linear_recall {

/// A row for each attention.
void print_table(const std::vector<measurement>& all, const recall_task& task);

/// recall.csv, a line for each attention and number of pairs, and losses.csv, one for each point of
/// the curves, below a line of names.
void write_recall(const std::filesystem::path& file, const std::vector<measurement>& all,
                  const recall_task& task);
void write_losses(const std::filesystem::path& file, const std::vector<measurement>& all);

/// A picture of what was written. False if gnuplot is missing or fails.
bool draw(const std::filesystem::path& picture, const std::filesystem::path& recall,
          const std::filesystem::path& losses, const std::vector<measurement>& all);

}  // namespace linear_recall
