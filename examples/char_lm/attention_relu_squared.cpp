#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> relu_squared_attention(const architecture& sizes, index) {
    return make_rotary_attention<float>(sizes, heed::relu_squared);
}

}  // namespace char_lm
