#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> relu_squared_attention(const architecture& sizes) {
    return std::make_unique<
        attention_with<float, std::remove_cvref_t<decltype(heed::relu_squared)>>>(
        sizes, heed::relu_squared);
}

}  // namespace char_lm
