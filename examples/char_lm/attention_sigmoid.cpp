#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> sigmoid_attention(const architecture& sizes) {
    return std::make_unique<attention_with<float, std::remove_cvref_t<decltype(heed::sigmoid)>>>(
        sizes, heed::sigmoid);
}

}  // namespace char_lm
