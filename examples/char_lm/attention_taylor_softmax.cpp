#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> taylor_softmax_attention(const architecture& sizes, index) {
    return make_rotary_attention<float>(sizes, heed::taylor_softmax(2));
}

}  // namespace char_lm
