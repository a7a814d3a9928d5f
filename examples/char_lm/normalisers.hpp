#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attention.hpp"

/// \file
/// The normalisers that --normaliser knows: a file attention_<name>.cpp for each.

namespace char_lm {

using make_attention_function = std::unique_ptr<attention<float>>(const architecture&, index layer);

make_attention_function softmax_attention, entmax15_attention, sparsemax_attention,
    sparse_softmax_attention, sigmoid_attention, relu_squared_attention, taylor_softmax_attention;

/// Their names, softmax first.
std::vector<std::string> normaliser_names();

/// Attention with the normaliser of that name.
attention_factory<float> attention_with_normaliser(const std::string& name);

}  // namespace char_lm
