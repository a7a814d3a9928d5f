#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> softmax_attention(const architecture& sizes, index) {
    return make_rotary_attention<float>(sizes, heed::softmax);
}

}  // namespace char_lm
