#pragma once

#include <numeric>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/kernel/backward/backward_delta.hpp>
#include <heed/linear/kernel/backward/backward_head.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/backward/backward_steps.hpp>
#include <heed/linear/kernel/channels/backward_channel_delta.hpp>
#include <heed/linear/kernel/channels/backward_channels.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Linear attention backward: its tasks. One is a bundle of heads that share heads of q, k or v,
/// one head of o after the other: what several of them add to is summed in that order. Where
/// bundles are fewer than threads each is two, the walk forth and the walk back.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward, which is a head's, of the heads of a bundle.
template <class T, class Backward>
void walk_bundle(const linear_program<T>& program, Backward&& backward, index batch, index first,
                 index last, backward_ways ways = {}) {
    for (index h = first; h < last; ++h) {
        for (index r = 0; r < program.run_count; ++r) backward.run(batch, h, r);
        if (program.lengths != nullptr && ways.back)
            backward.put_padding(batch, h, program.lengths[batch]);
    }
}

/// dq, dk and dv of a call, and the gradients of the numbers of tokens that are wanted.
template <class T>
void linear_backward(const linear_program<T>& program, const linear_gradients<T>& of) {
    const linear_shape& shape = program.shape;
    index bundles = std::gcd(std::gcd(shape.query_heads, shape.key_heads), shape.value_heads);
    if (of.d_channel_decays.data != nullptr) bundles = std::gcd(bundles, shape.decay_heads);
    const index heads = bundles == 0 ? 0 : shape.heads / bundles;
    const double flops =
        3 * static_cast<double>(shape.batch * shape.heads) * program.flops_a_head();
    const index threads = count_threads(program, flops), tasks = shape.batch * bundles;
    const bool apart = !program.decays_channels() && !program.updates() &&
                       backward_head<T>::are_apart(program, of);
    const index walks = threads > tasks && apart ? 2 : 1;
    const auto run = [&](index slot, index task) {
        arena& scratch = program.memory->slot(slot);
        const arena::scope mark(scratch);
        const index which = task / walks;
        const index batch = which / bundles, first = which % bundles * heads;
        const auto walk = [&](auto&& backward, backward_ways ways = {}) {
            walk_bundle(program, backward, batch, first, first + heads, ways);
        };
        if (program.decays_channels() && program.updates()) {
            walk(backward_channel_delta<T>(program, of, scratch));
        } else if (program.decays_channels()) {
            walk(backward_channels<T>(program, of, scratch));
        } else if (program.updates()) {
            walk(backward_delta<T>(program, of, scratch));
        } else {
            // The walk back, which is the longer one, first.
            const bool is_first = task % walks == 0;
            const backward_ways ways{walks == 1 || !is_first, is_first};
            walk(backward_head<T>(program, of, ways, scratch), ways);
        }
    };
    for_each_task(program.threads.pool, *program.memory, tasks * walks, run, threads - 1);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
