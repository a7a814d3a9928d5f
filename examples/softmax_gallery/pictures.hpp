#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <Eigen/Core>

namespace gallery {

/// A panel of a picture: what a normaliser makes of something.
struct panel {
    std::string title;
    Eigen::MatrixXf values;
};

/// Bars of the first row of each panel, side by side. False if gnuplot is missing or fails; the
/// numbers are written as CSV in any case.
bool draw_rows(const std::filesystem::path& folder, const std::vector<panel>& panels);

/// Each panel as a matrix of shades.
bool draw_heads(const std::filesystem::path& folder, const std::vector<panel>& panels);

}  // namespace gallery
