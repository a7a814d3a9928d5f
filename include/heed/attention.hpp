#pragma once

/// \file
/// The calls of attention, and what they take beside parts of a room of their own: positions, cache
/// lengths, biases of q and k, dropout; heads side by side; the matrix itself, and its scores.

#include <heed/attention/attention.hpp>
#include <heed/attention/attention_scores.hpp>
#include <heed/attention/attention_weights.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/dropout.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/split_heads.hpp>
#include <heed/attention/wanted_gradients.hpp>
