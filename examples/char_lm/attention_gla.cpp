#include "attentions.hpp"
#include "linear_kinds.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> gla_attention(const architecture& sizes, index) {
    return make_gla_attention<float>(sizes);
}

}  // namespace char_lm
