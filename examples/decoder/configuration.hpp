#pragma once

#include <filesystem>
#include <vector>

#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

#include "support/byte_pairs.hpp"
#include "support/gguf.hpp"
#include "support/json_file.hpp"

namespace decoder {

using examples::token;
using heed::index;

/// The sizes of a Llama-like model, by whichever file has them.
struct configuration {
    index vocabulary = 0;
    index width = 0;  ///< numbers that stand for a token
    index inner = 0;  ///< of the MLP
    index layers = 0;
    index heads = 0, kv_heads = 0;
    index dim = 0;       ///< of a head
    index longest = 0;   ///< tokens of a text
    index window = 0;    ///< tokens, its own among them, that a token sees; 0: all
    double epsilon = 0;  ///< of the norms
    bool tied = false;   ///< whether the embedding is also what gives the logits
    heed::rope::frequencies rope{{1.0}};
    std::vector<token> ends;  ///< a text ends with one of these
};

/// From transformers' config.json: Llama, Mistral, Qwen 2 and what says that it is one of them.
/// Throws file_error, which names the field.
configuration read_configuration(const examples::json& config);

/// From the values of a GGUF file, and its rope_freqs. Throws file_error, which
/// names the value.
configuration read_configuration(const examples::gguf_file& file);

}  // namespace decoder
