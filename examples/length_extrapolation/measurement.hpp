#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "corpus.hpp"
#include "methods.hpp"
#include "team.hpp"
#include "texts.hpp"

namespace length_extrapolation {

/// A recipe and what training made of it.
struct trained_model {
    recipe made_by;
    char_lm::flat_vector<float> parameters;
    index steps = 0;
    double seconds = 0;
};

using trained_models = std::map<std::string, trained_model>;

/// How well a method predicts a text, by how many characters it sees.
struct reading {
    method how;
    std::string text;
    std::vector<char_lm::score> by_length;
};

/// Every method on every text, seeing each of the lengths. `watch` is told the share that is done.
std::vector<reading> read_all(const trained_models& models, const std::vector<method>& all,
                              const std::vector<measured_text>& texts,
                              const std::vector<index>& lengths, char_lm::team& threads,
                              const std::function<void(double, const std::string&)>& watch);

/// Mean entropy of attention, over all layers and heads, of the characters that see about n others.
struct entropy_point {
    double n = 0;  ///< the most in its bin, which begins √2 below
    double nats = 0;
};
struct entropy_curve {
    method how;
    std::vector<entropy_point> points;
};

std::vector<entropy_curve> entropies(const trained_models& models, const std::vector<method>& all,
                                     const measured_text& text, char_lm::team& threads);

}  // namespace length_extrapolation
