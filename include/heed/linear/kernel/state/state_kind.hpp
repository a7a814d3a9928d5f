#pragma once

#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/part.hpp>

/// \file
/// Which calls a state of linear attention goes with.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// For what a call has decays.
enum class decayed { none, tokens, channels };

/// What a state is of: calls of another kind cannot go on with it.
struct state_kind {
    index batch = 0, heads = 0, features = 0, value_dim = 0;
    std::string_view map;  ///< empty: not known
    bool divides = false;
    encoded turned = encoded::none;
    decayed decays = decayed::none;
    bool updates = false;
    index steps = 1;           ///< columns of a chunk that a token takes
    bool by_position = false;  ///< whether features depend on where a token stands
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
