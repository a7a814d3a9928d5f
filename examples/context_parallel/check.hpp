#pragma once

#include <cstdint>

#include "cluster.hpp"
#include "ring.hpp"

/// \file
/// What all ranks find together is what one process finds alone.

namespace context_parallel {

/// The largest differences, each over the largest number that there is.
struct differences {
    double o = 0, dq = 0, dk = 0, dv = 0;
    double decoded = 0;  ///< o of one more token
};

/// Of random q, k, v and d_o, which every rank draws from the seed, and on all ranks the same.
differences compare_with_one_process(const cluster& ranks, const ring_settings& settings,
                                     std::uint64_t seed);

/// A rank's pieces of random tensors, for measurements.
std::vector<piece> random_pieces(const cluster& ranks, const ring_settings& settings,
                                 std::uint64_t seed);

}  // namespace context_parallel
