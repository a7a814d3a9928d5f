#include "attention_with.hpp"
#include "normalisers.hpp"

namespace char_lm {

/// Softmax over the sixteen highest scores of a row.
std::unique_ptr<attention<float>> sparse_softmax_attention(const architecture& sizes, index) {
    return make_rotary_attention<float>(sizes, heed::sparse_softmax(16));
}

}  // namespace char_lm
