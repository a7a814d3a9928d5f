#pragma once

#include <filesystem>
#include <vector>

#include "mapped_file.hpp"
#include "stored_tensor.hpp"

namespace examples {

/// The tensors of a model, and the files in which they lie.
struct model_weights {
    std::vector<mapped_file> files;
    tensor_table tensors;
};

/// Of a folder as transformers writes it: model.safetensors, or the parts that
/// model.safetensors.index.json names. Throws file_error, which names the file and what is wrong.
model_weights open_safetensors(const std::filesystem::path& folder);

}  // namespace examples
