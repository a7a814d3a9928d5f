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

template <>
std::unique_ptr<attention<float>> make_attention<float>(const architecture& sizes) {
    for (const auto& [name, make] : normalisers)
        if (sizes.normaliser == name) return make(sizes);
    throw std::invalid_argument("there is no normaliser " + sizes.normaliser);
}

}  // namespace char_lm
