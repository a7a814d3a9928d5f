#pragma once

#include <heed/attention/caches/kv_cache.hpp>

#include "cluster.hpp"
#include "tensors.hpp"

/// \file
/// A decode step of a sequence whose keys lie on many ranks.

namespace context_parallel {

/// o of one token's queries [batch, heads, 1, dim], the same on all ranks, over the keys of the
/// caches of all of them. Each rank attends to its own keys, pairs of ranks merge what they found,
/// then pairs of pairs, and rank 0 tells all (as arXiv 2408.04093 has it): log₂ of the ranks'
/// messages of o and two numbers a row, whatever the length.
tensor decode(const cluster& ranks, const tensor& q, const heed::kv_cache<float>& own,
              account& spent);

}  // namespace context_parallel
