#pragma once

#include <span>
#include <string>
#include <vector>

#include "transformer.hpp"

namespace decoder {

/// A way to read a text, and whether it gives the bits of reading it as a whole.
struct way_of_reading {
    std::string name;
    bool same_bits;
};

/// Reads a text in several ways: in chunks, token by token, beside another text, on one thread. The
/// logits of all tokens are compared, bit for bit, with those of the text as a whole.
std::vector<way_of_reading> check_bits(const transformer& model, std::span<const token> text,
                                       precision cache, const heed::on_pool& threads);

}  // namespace decoder
