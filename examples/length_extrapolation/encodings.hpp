#pragma once

#include <memory>
#include <optional>

#include <heed/rope/frequencies.hpp>

#include "attention.hpp"

/// \file
/// The attentions that the experiment trains and measures: a file attention_<name>.cpp for each.
/// All are causal, with softmax.

namespace length_extrapolation {

using char_lm::architecture;
using char_lm::index;

using attention_pointer = std::unique_ptr<char_lm::attention<float>>;

/// Rotary positions, of any frequencies.
attention_pointer rotary_attention(const architecture& sizes, heed::rope::frequencies frequencies);

/// Rotary positions that count on in steps of 1/stretch beyond the window (Leaky ReRoPE), or not at
/// all where there is no stretch (ReRoPE).
attention_pointer rectified_attention(const architecture& sizes, index window,
                                      std::optional<double> stretch);

/// Rotary positions that are random in training: sorted, below `range`. In use they are spread
/// evenly over the range.
attention_pointer scattered_attention(const architecture& sizes, index range);

/// HWFA: windows with rotary positions, but the last layer sees everything, without positions and
/// with log n.
attention_pointer hwfa_attention(const architecture& sizes, index layer);

}  // namespace length_extrapolation
