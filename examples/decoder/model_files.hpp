#pragma once

#include <filesystem>

#include "configuration.hpp"
#include "support/byte_pairs.hpp"
#include "support/model_weights.hpp"

namespace decoder {

/// All that is known of a model before its weights are packed.
struct model_files {
    configuration sizes;
    examples::model_weights weights;  ///< by the names of transformers
    examples::byte_pairs_vocabulary vocabulary;
};

/// A folder as transformers writes it (config.json; model.safetensors or its parts; tokenizer.json,
/// or vocab.json and merges.txt for qwen2), or one file in GGUF. Throws an error that names the
/// file and what is wrong with it.
model_files open_model(const std::filesystem::path& path);

/// The vocabulary of a GGUF file. Throws file_error for what is no byte-level BPE.
examples::byte_pairs_vocabulary read_vocabulary(const examples::gguf_file& file);

}  // namespace decoder
