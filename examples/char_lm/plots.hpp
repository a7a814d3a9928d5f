#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "matrix.hpp"

namespace char_lm {

/// A point of the loss curve.
struct loss_point {
    double seconds = 0;
    index characters = 0;   ///< read so far
    double training = 0;    ///< nats a character, smoothed
    double validation = 0;  ///< the same on text that is not learnt; NaN where not measured
};

/// Writes loss.csv into the folder and lets gnuplot draw loss.png from it, with a line where a
/// guess from pairs of characters would be. False when there is no gnuplot
/// that could.
bool plot_loss(const std::filesystem::path& folder, const std::vector<loss_point>& points,
               double pair_entropy);

/// Writes attention.csv and draws attention.png: which character (across) each character (down)
/// looks at.
bool plot_attention(const std::filesystem::path& folder, const matrix<float>& weights,
                    const std::string& text, const std::string& title);

}  // namespace char_lm
