#include "attentions.hpp"
#include "linear_kinds.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> rwkv6_attention(const architecture& sizes, index) {
    return make_rwkv6_attention<float>(sizes);
}

}  // namespace char_lm
