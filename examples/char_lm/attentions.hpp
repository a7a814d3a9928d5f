#pragma once

#include <string>
#include <vector>

#include "normalisers.hpp"

/// \file
/// The attentions that --attention knows: exact softmax attention, and those whose cost is linear
/// in the sequence, a file attention_<name>.cpp for each.

namespace char_lm {

make_attention_function elu_plus_one_attention, favor_attention, retention_attention, gla_attention,
    rwkv6_attention, gated_delta_attention;

/// Their names, softmax first.
std::vector<std::string> attention_names();

/// The attention of that name.
attention_factory<float> attention_by_name(const std::string& name);

}  // namespace char_lm
