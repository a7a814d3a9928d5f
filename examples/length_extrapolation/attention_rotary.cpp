#include "attention_with.hpp"
#include "encodings.hpp"

namespace length_extrapolation {

attention_pointer rotary_attention(const architecture& sizes, heed::rope::frequencies frequencies) {
    return char_lm::make_rotary_attention<float>(sizes, std::move(frequencies), heed::softmax);
}

}  // namespace length_extrapolation
