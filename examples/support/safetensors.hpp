#pragma once

#include <cstddef>
#include <span>

#include "stored_tensor.hpp"

namespace examples {

/// The tensors of a .safetensors file (https://github.com/huggingface/safetensors): the length of a
/// header in 8 bytes, the header in JSON, and the numbers, without a gap.
///
/// Throws file_error, which says what is wrong, for anything else: a file that is cut short, a type
/// that is not known, tensors that overlap, leave a gap, or whose bytes do not fit their shape. The
/// tensors view `bytes`.
tensor_table read_safetensors(std::span<const std::byte> bytes);

}  // namespace examples
