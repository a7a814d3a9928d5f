#include "attentions.hpp"

#include <array>
#include <stdexcept>
#include <utility>

namespace char_lm {

namespace {

constexpr std::array<std::pair<const char*, make_attention_function*>, 7> attentions{{
    {"softmax", softmax_attention},
    {"elu_plus_one", elu_plus_one_attention},
    {"favor", favor_attention},
    {"retention", retention_attention},
    {"gla", gla_attention},
    {"rwkv6", rwkv6_attention},
    {"gated_delta", gated_delta_attention},
}};

}  // namespace

std::vector<std::string> attention_names() {
    std::vector<std::string> names;
    for (const auto& [name, make] : attentions) names.emplace_back(name);
    return names;
}

attention_factory<float> attention_by_name(const std::string& name) {
    for (const auto& [known, make] : attentions)
        if (name == known) return make;
    throw std::invalid_argument("there is no attention " + name);
}

}  // namespace char_lm
