#pragma once

#include <functional>
#include <string>
#include <vector>

#include "encodings.hpp"
#include "model.hpp"

/// \file
/// What is compared: the models that are trained, and the methods by which they read texts longer
/// than those of their training.

namespace length_extrapolation {

/// A model to train: an architecture and the attention that it is trained with.
struct recipe {
    std::string name;     ///< of its checkpoint too
    std::string meaning;  ///< in the table of models
    architecture sizes;
    char_lm::attention_factory<float> attention;
};

/// All of them, for the architecture that they share. `expansion` is how many training lengths they
/// prepare for, where they do.
std::vector<recipe> recipes(const architecture& shared, index expansion);

/// A trained model, read with an attention of its own.
struct method {
    std::string name;   ///< as the articles call it
    std::string model;  ///< the name of the recipe
    char_lm::score_scale scale;
    /// The attention for texts of `stretch` training lengths.
    std::function<char_lm::attention_factory<float>(double stretch)> attention;
};

std::vector<method> methods(index context, index expansion);

/// What a score scale is called in tables: nothing, "log n†" (after training alone) or "log n".
std::string scale_name(char_lm::score_scale scale);

}  // namespace length_extrapolation
