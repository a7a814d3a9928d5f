#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> sigmoid_attention(const architecture& sizes, index) {
    return make_rotary_attention<float>(sizes, heed::sigmoid);
}

}  // namespace char_lm
