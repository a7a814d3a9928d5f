#pragma once

#include <functional>
#include <string>
#include <vector>

#include "corpus.hpp"
#include "recall.hpp"

/// \file
/// What is measured of each attention: two models of the same sizes, one trained on recall, one on
/// text.

namespace linear_recall {

/// A training loss, smoothed, after so many steps.
struct loss_point {
    index step = 0;
    double loss = 0;
};

/// What became of one attention.
struct measurement {
    std::string attention;
    std::vector<char_lm::score> recall = {};  ///< for each number of pairs of the task
    char_lm::score text = {};                 ///< on text held out
    double step_milliseconds = 0;             ///< of training on text: that of its fastest tenth
    index state_size = 0;                     ///< numbers kept of a window of recall, by all layers
    std::vector<loss_point> recall_curve = {}, text_curve = {};
};

struct experiment {
    /// Of both models; vocabulary and context are the task's or the text's.
    char_lm::architecture sizes{.layers = 2, .heads = 2, .width = 64, .token_shift = true};
    recall_task recall = {};
    /// Of each, by steps. At 5e-3 exact attention learns to recall as well, but the
    /// delta rule and FAVOR+ stay for long where they know which values were told, and not of which
    /// key.
    char_lm::training_settings training{.steps = 3500, .batch = 8, .learning_rate = 2e-3};
    index windows = 64;  ///< that a model is measured on, of each kind
};

/// Trains and measures the attention of that name. `watch` is told the share that is done.
measurement measure_attention(const experiment& how, const std::string& attention,
                              const char_lm::corpus& text, char_lm::team& threads,
                              const std::function<void(double, const std::string&)>& watch);

}  // namespace linear_recall
