#include "normalisers.hpp"

#include <array>
#include <stdexcept>
#include <utility>

namespace char_lm {

namespace {

constexpr std::array<std::pair<const char*, make_attention_function*>, 7> normalisers{{
    {"softmax", softmax_attention},
    {"entmax15", entmax15_attention},
    {"sparsemax", sparsemax_attention},
    {"sparse_softmax", sparse_softmax_attention},
    {"sigmoid", sigmoid_attention},
    {"relu_squared", relu_squared_attention},
    {"taylor_softmax", taylor_softmax_attention},
}};

}  // namespace

std::vector<std::string> normaliser_names() {
    std::vector<std::string> names;
    for (const auto& [name, make] : normalisers) names.emplace_back(name);
    return names;
}

attention_factory<float> attention_with_normaliser(const std::string& name) {
    for (const auto& [known, make] : normalisers)
        if (name == known) return make;
    throw std::invalid_argument("there is no normaliser " + name);
}

}  // namespace char_lm
