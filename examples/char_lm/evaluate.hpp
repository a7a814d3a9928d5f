#pragma once

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

/// Of one token: how well its row of logits predicts the target.
score score_of(const matrix<float>& logits, index row, index target);

/// Characters of a text, and the one that follows each.
using text_window = std::span<const token>;

/// Up to `count` windows of `length` characters and the one that follows, spread evenly over the
/// text: the last one ends where the text ends, and their last `scored` characters do not overlap.
/// None when the text does not hold one.
std::vector<text_window> spread_windows(std::span<const token> text, index length, index scored,
                                        index count);

/// Predicts the last characters of each window, as many as a training length has, with so much of
/// the window before them that the model sees `length` characters. What is predicted is the same
/// for every `length`: what differs is only how far the model may look back.
score evaluate(const transformer<float>& model, std::span<const float> parameters,
               const std::vector<text_window>& windows, index length, score_scale scale,
               team& threads);

}  // namespace char_lm
