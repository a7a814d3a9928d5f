#include <algorithm>

#include "attention_with.hpp"
#include "encodings.hpp"

namespace length_extrapolation {

namespace {

using positions_of_batch = char_lm::matrix<double>;  // [sequences, length]

/// Those of each window of a training step are its own.
positions_of_batch random_positions(const char_lm::attention_call& call, index range) {
    positions_of_batch all(call.sequences, call.length);
    for (index s = 0; s < call.sequences; ++s) {
        const auto one = heed::rope::random_sorted_positions(
            {.length = call.length, .range = range, .sequence = *call.first_window + s});
        std::copy(one.begin(), one.end(), all.row(s).data());
    }
    return all;
}

positions_of_batch even_positions(const char_lm::attention_call& call, index range) {
    const double step = double(range) / double(call.length);
    positions_of_batch all(call.sequences, call.length);
    for (index i = 0; i < call.length; ++i) all.col(i).setConstant(double(i) * step);
    return all;
}

}  // namespace

attention_pointer scattered_attention(const architecture& sizes, index range) {
    return char_lm::make_attention_with<float>(
        sizes, [rotary = heed::rotary(heed::rope::plain({.dim = sizes.width / sizes.heads})), range,
                trained = sizes.context](const char_lm::attention_call& call) {
            auto where =
                call.first_window ? random_positions(call, range) : even_positions(call, range);
            return std::tuple_cat(std::tie(heed::causal, rotary),
                                  std::tuple(heed::positions(std::move(where)),
                                             char_lm::chosen_scale(call.scale, trained)));
        });
}

}  // namespace length_extrapolation
