#include "attentions.hpp"
#include "linear_kinds.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> favor_attention(const architecture& sizes, index layer) {
    return make_favor_attention<float>(sizes, layer);
}

}  // namespace char_lm
