#include "attentions.hpp"
#include "linear_kinds.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> gated_delta_attention(const architecture& sizes, index) {
    return make_gated_delta_attention<float>(sizes);
}

}  // namespace char_lm
