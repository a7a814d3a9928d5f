#include "attentions.hpp"
#include "linear_kinds.hpp"

namespace char_lm {

std::unique_ptr<attention<float>> elu_plus_one_attention(const architecture& sizes, index) {
    return make_elu_plus_one_attention<float>(sizes);
}

}  // namespace char_lm
