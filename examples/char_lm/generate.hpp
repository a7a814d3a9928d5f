#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model.hpp"

namespace char_lm {

/// `count` characters that follow `prompt`, drawn one at a time from softmax(logits/temperature).
///
/// The keys and values of what has been written stay in a cache, so each character costs one query.
/// The model never looks further back than it was trained to: a full cache is emptied and filled
/// again with the newer half of the text.
std::vector<token> generate(const transformer<float>& model, std::span<const float> parameters,
                            std::span<const token> prompt, index count, double temperature,
                            std::uint64_t seed);

}  // namespace char_lm
