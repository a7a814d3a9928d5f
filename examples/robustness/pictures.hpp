#pragma once

#include <filesystem>

#include "table.hpp"

/// \file
/// Writes each table as CSV into the folder and lets gnuplot draw it. False if gnuplot is missing
/// or fails.

namespace robustness {

bool draw_noise(const std::filesystem::path& folder, const table& t);
bool draw_entropy(const std::filesystem::path& folder, const table& t);
bool draw_scale(const std::filesystem::path& folder, const table& t);
bool draw_size(const std::filesystem::path& folder, const table& t);

}  // namespace robustness
