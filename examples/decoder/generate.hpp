#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "transformer.hpp"

namespace decoder {

/// How a token is drawn from logits.
struct sampling {
    double temperature = 0;  ///< 0: the likeliest
    index top_k = std::numeric_limits<index>::max();
    double top_p = 1, min_p = 0;
    std::uint64_t seed = 0;
};

/// What generate() did.
struct generated {
    std::vector<std::vector<token>> texts;  ///< behind each prompt, without what ends it
    index read = 0, written = 0;            ///< tokens
    double read_seconds = 0, write_seconds = 0;
};

/// Goes on from each prompt by at most `count` tokens, all prompts at once. A text is the same
/// alone and beside others if its number is the same. `told` hears of each token as it is drawn.
/// Throws std::invalid_argument where a prompt and `count` tokens are more than the model's
/// longest.
generated generate(const transformer& model, std::span<const std::vector<token>> prompts,
                   index count, const sampling& how, precision cache, const heed::on_pool& threads,
                   const std::function<void(std::size_t prompt, token)>& told = {});

}  // namespace decoder
