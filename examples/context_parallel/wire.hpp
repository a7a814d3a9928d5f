#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <heed/core/view.hpp>

#include "sequence.hpp"
#include "tensors.hpp"

/// \file
/// Keys and values as they travel: k, then v, of one stretch after the other.

namespace context_parallel {

/// As what numbers are sent.
enum class number { float32, bfloat16 };

/// k and v of a stretch, where they have arrived.
struct keys_and_values {
    stretch at;
    heed::tensor_view<const float, 4> k, v;
};

/// The k and v of one rank, as sent: whoever computes with them, the owner too, computes with the
/// numbers that the wire can hold, so that all ranks see the same ones.
class wire_block {
  public:
    wire_block(number as, const model_shape& model) : as_(as), model_(model) {}

    /// Of one's own.
    void pack(const std::vector<piece>& pieces);
    /// Room for those of a rank that holds these stretches.
    void make_room(const std::vector<stretch>& stretches);

    std::span<std::byte> bytes() { return bytes_; }
    /// What has been packed or has arrived. Valid until the next call of this object.
    std::vector<keys_and_values> open();

  private:
    std::size_t number_size() const { return as_ == number::bfloat16 ? 2 : 4; }

    number as_;
    model_shape model_;
    std::vector<stretch> stretches_;
    std::vector<std::byte> bytes_;
    std::vector<float> wide_;  // what came in 16 bits
};

}  // namespace context_parallel
