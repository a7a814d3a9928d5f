#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> taylor_softmax_attention(const architecture& sizes) {
    return std::make_unique<
        attention_with<float, std::remove_cvref_t<decltype(heed::taylor_softmax(2))>>>(
        sizes, heed::taylor_softmax(2));
}

}  // namespace char_lm
