#include "attention_with.hpp"
#include "encodings.hpp"

namespace length_extrapolation {

attention_pointer rectified_attention(const architecture& sizes, index window,
                                      std::optional<double> stretch) {
    auto rope = heed::rope::plain({.dim = sizes.width / sizes.heads});
    auto positions = stretch ? heed::leaky_rectified_rotary(std::move(rope), window, *stretch)
                             : heed::rectified_rotary(std::move(rope), window);
    return char_lm::make_attention_with<float>(
        sizes, [positions = std::move(positions),
                trained = sizes.context](const char_lm::attention_call& call) {
            return std::tuple_cat(std::tie(heed::causal, positions),
                                  std::tuple(char_lm::chosen_scale(call.scale, trained)));
        });
}

}  // namespace length_extrapolation
