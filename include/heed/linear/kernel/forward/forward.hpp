#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/kernel/chunk/head_sums.hpp>
#include <heed/linear/kernel/forward/forward_head.hpp>
#include <heed/linear/kernel/forward/forward_strips.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Linear attention forward: its tasks. One is a head of the state, of a sequence or a document; by
/// the delta rule, which goes through a head in order, where heads are few a strip of its columns.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The runs of one head, one after the other, in the state `sums`, which goes on in the first.
template <class T>
void forward_in_state(const linear_program<T>& program, const linear_outputs<T>& to, index batch,
                      index head, const head_sums<T>& sums, const head_sums<T>* older,
                      arena& scratch) {
    forward_head<T> forward(program, to, scratch);
    for (index r = 0; r < program.run_count; ++r) {
        if (r > 0) {
            program.layout().clear(sums.s.sum.data);  // what a head holds begins with S
            *sums.progress = {};
            if (older != nullptr) *older->progress = {};
        }
        forward.causal(batch, head, r, sums, r == 0 ? program.first(batch) : 0, older);
    }
}

/// o of a call.
template <class T>
void linear_forward(const linear_program<T>& program, const linear_outputs<T>& to) {
    const linear_shape& shape = program.shape;
    const index heads = shape.state_heads();
    const bool keeps = program.state.numbers != nullptr;
    const index runs = keeps ? 1 : program.run_count;  // one after the other, in one state
    const double flops = static_cast<double>(shape.batch * shape.heads) * program.flops_a_head();
    const index threads = count_threads(program, flops), tasks = shape.batch * heads * runs;
    arena& own = program.memory->slot(0);
    const arena::scope mark_all(own);
    const column_strips<T> strips(program, threads, tasks, own);
    const auto run = [&](index slot, index task) {
        arena& scratch = program.memory->slot(slot);
        const arena::scope mark(scratch);
        const index strip = task % strips.count();
        const index number = task / strips.count() % runs, which = task / strips.count() / runs;
        const index batch = which / heads, head = which % heads;
        const linear_program<T> part = strips.program_of(strip);
        const linear_outputs<T> part_to = strips.outputs_of(to, strip);
        if (keeps) {
            const auto [sums, older] = strips.open(strip, which, scratch);
            forward_in_state(part, part_to, batch, head, sums,
                             older.progress == nullptr ? nullptr : &older, scratch);
            strips.close(strip, which, sums, older);
            return;
        }
        const head_sums<T> sums = part.layout().take(scratch);
        forward_head<T> forward(part, part_to, scratch);
        if (program.causal)
            forward.causal(batch, head, number, sums, 0, nullptr);
        else
            forward.bidirectional(batch, head, number, sums);
    };
    for_each_task(program.threads.pool, *program.memory, tasks * strips.count(), run, threads - 1);
    strips.finish();
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
