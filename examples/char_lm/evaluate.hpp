#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model.hpp"
#include "team.hpp"

namespace char_lm {

/// How well a model predicts the next character.
struct score {
    double accuracy = 0;  ///< share of characters whose most probable guess was right
    double loss = 0;      ///< nats a character
};

/// Predicts stretches of `text`, each of one training length, with so much of the text before them
/// that model and stretch together see `length` characters. The stretches are the same for every
/// `length` up to `longest`: what differs is only how far the model may look back. Empty when the
/// text does not hold one stretch.
std::optional<score> evaluate(const transformer<float>& model, std::span<const float> parameters,
                              std::span<const token> text, index length, index longest,
                              index stretches, score_scale scale, team& threads);

}  // namespace char_lm
