#pragma once

#include <cstddef>
#include <vector>

/// \file
/// Which tokens of a sequence lie on which rank.

namespace context_parallel {

using index = std::ptrdiff_t;

/// Tokens first … last − 1.
struct stretch {
    index first = 0, last = 0;
    index count() const { return last - first; }
};

/// Of R ranks, rank r holds
enum class placement {
    contiguous,  ///< the r-th of R stretches
    zig_zag      ///< the r-th of 2R and the r-th from behind: under a causal mask, even work
};

/// The stretches of one rank; empty ones too, where there are fewer tokens than ranks.
std::vector<stretch> stretches_of(int rank, int ranks, index tokens, placement how);
/// How many tokens those are.
index tokens_of(const std::vector<stretch>& stretches);

/// What the queries of a stretch see of the keys of another one.
enum class sight { nothing, up_to_themselves, all };
sight sight_of(const stretch& queries, const stretch& keys, bool causal);

}  // namespace context_parallel
