#pragma once

#include <algorithm>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Work on many small matrices, dealt out to threads: a matrix a task, or, where there are fewer
/// matrices than threads, some rows of one step a task.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How many threads share work of so many operations: as many as have enough to do.
inline index count_threads(const on_pool& threads, double operations) {
    if (threads.pool == nullptr) return 1;
    const double all = static_cast<double>(threads.pool->NumThreads() + 1);
    if (operations >= threads.least_work * all) return static_cast<index>(all);
    return static_cast<index>(std::max(1.0, operations / threads.least_work));
}

/// Runs all steps of the work on each matrix. make(arena, matrix) is that work, trivially
/// destructible, its scratch taken from the arena:
///
///     index rows(index step) const;
///     void run(index step, index first, index last) const;  // some of them: whole product_rows
///
/// `operations` are those of one matrix.
/// A row is the same whoever computes it, so both ways have the same bits.
template <class Make>
void run_matrix_steps(const on_pool& threads, workspace& memory, index matrices, index steps,
                      double operations, const Make& make) {
    using work_type = std::invoke_result_t<const Make&, arena&, index>;
    static_assert(std::is_trivially_destructible_v<work_type>);
    if (matrices == 0) return;
    const index team = count_threads(threads, operations * static_cast<double>(matrices));
    if (matrices >= team || memory.loop().is_running()) {
        const auto all_of_one = [&](index slot, index matrix) {
            arena& scratch = memory.slot(slot);
            const arena::scope taken(scratch);
            const work_type work = make(scratch, matrix);
            for (index s = 0; s < steps; ++s) work.run(s, 0, work.rows(s));
        };
        for_each_task(threads.pool, memory, matrices, all_of_one, team - 1);
        return;
    }
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    work_type* works = own.take<work_type>(matrices);
    for (index i = 0; i < matrices; ++i) ::new (works + i) work_type(make(own, i));
    for (index s = 0; s < steps; ++s) {
        const index rows = works[0].rows(s);
        const index blocks = count_blocks(rows, product_rows);
        const auto some_rows = [&](index, index task) {
            const index first = task % blocks * product_rows;
            works[task / blocks].run(s, first, std::min(rows, first + product_rows));
        };
        for_each_task(threads.pool, memory, matrices * blocks, some_rows, team - 1);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
