#pragma once

#include <heed/core/shape.hpp>

#include "support/json_file.hpp"

namespace encoder {

using heed::index;

/// The sizes of a BERT-like model.
struct configuration {
    index vocabulary = 0;
    index width = 0;  ///< numbers that stand for a token
    index inner = 0;  ///< of the MLP
    index layers = 0;
    index heads = 0;
    index longest = 0;   ///< tokens of a text
    index kinds = 0;     ///< of tokens, as of a first and a second text
    double epsilon = 0;  ///< of the norms
};

/// From transformers' config.json. Throws file_error, which names the field.
configuration read_configuration(const examples::json& config);

}  // namespace encoder
