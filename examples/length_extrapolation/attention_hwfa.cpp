#include "attention_with.hpp"
#include "encodings.hpp"

namespace length_extrapolation {

attention_pointer hwfa_attention(const architecture& sizes, index layer) {
    if (layer + 1 == sizes.layers)
        return char_lm::make_attention_with<float>(
            sizes, [scale = heed::log_n_scale(double(sizes.context))](
                       const char_lm::attention_call&) { return std::tie(heed::causal, scale); });
    const index window = heed::hwfa_window(sizes.context, sizes.layers);
    return char_lm::make_attention_with<float>(
        sizes, [near = heed::sliding_window(window - 1, 0),
                rotary = heed::rotary(heed::rope::plain({.dim = sizes.width / sizes.heads}))](
                   const char_lm::attention_call&) { return std::tie(near, rotary); });
}

}  // namespace length_extrapolation
