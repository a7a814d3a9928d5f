#pragma once

#include <algorithm>

#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// How many threads a call is worth.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Operations that take as long as packing a number of k or v from memory.
inline constexpr double work_a_packed_number = 32;

/// How many threads share a call of so many operations a score and column of q, k and v: as many as
/// have enough to do. It depends on the shapes alone; masks may leave less.
template <class T>
index count_threads(const attention_program<T>& program, double operations) {
    if (program.threads.pool == nullptr || program.memory.loop().is_running()) return 1;
    const attention_shape& shape = program.shape();
    const auto numbers = [&](index heads) {
        return static_cast<double>(shape.batch * heads) * static_cast<double>(shape.keys) *
               static_cast<double>(shape.dim + shape.value_dim);
    };
    const double work = operations * numbers(shape.heads) * static_cast<double>(shape.queries) +
                        work_a_packed_number * numbers(shape.kv_heads);
    const double all = static_cast<double>(program.threads.pool->NumThreads() + 1);
    const double least = program.threads.least_work;
    return static_cast<index>(work >= least * all ? all : std::max(1.0, work / least));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
