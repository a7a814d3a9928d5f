#pragma once

#include <numeric>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/kernel/backward/backward_delta.hpp>
#include <heed/linear/kernel/backward/backward_head.hpp>
#include <heed/linear/kernel/backward/backward_rows.hpp>
#include <heed/linear/kernel/channels/backward_channel_delta.hpp>
#include <heed/linear/kernel/channels/backward_channels.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// Linear attention backward: its tasks. One is a bundle of heads that share heads of q, k or v,
/// one head of o after the other: what several of them add to is summed in that order.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward, which is a head's, of the heads of a bundle.
template <class T, class Backward>
void walk_bundle(const linear_program<T>& program, Backward& backward, index batch, index first,
                 index last) {
    for (index h = first; h < last; ++h) {
        for (index r = 0; r < program.run_count; ++r) backward.run(batch, h, r);
        if (program.lengths != nullptr) backward.put_padding(batch, h, program.lengths[batch]);
    }
}

/// dq, dk and dv of a call, and the gradients of the numbers of tokens that are wanted.
template <class T>
void linear_backward(const linear_program<T>& program, const linear_gradients<T>& of) {
    const linear_shape& shape = program.shape;
    index bundles = std::gcd(std::gcd(shape.query_heads, shape.key_heads), shape.value_heads);
    if (of.d_channel_decays.data != nullptr) bundles = std::gcd(bundles, shape.decay_heads);
    const index heads = bundles == 0 ? 0 : shape.heads / bundles;
    const auto run = [&](index slot, index task) {
        arena& scratch = program.memory->slot(slot);
        const arena::scope mark(scratch);
        const index batch = task / bundles, first = task % bundles * heads;
        if (program.decays_channels() && program.updates()) {
            backward_channel_delta<T> backward(program, of, scratch);
            walk_bundle(program, backward, batch, first, first + heads);
        } else if (program.decays_channels()) {
            backward_channels<T> backward(program, of, scratch);
            walk_bundle(program, backward, batch, first, first + heads);
        } else if (program.updates()) {
            backward_delta<T> backward(program, of, scratch);
            walk_bundle(program, backward, batch, first, first + heads);
        } else {
            backward_head<T> backward(program, of, scratch);
            walk_bundle(program, backward, batch, first, first + heads);
        }
    };
    const double flops =
        3 * static_cast<double>(shape.batch * shape.heads) * program.flops_a_head();
    for_each_task(program.threads.pool, *program.memory, shape.batch * bundles, run,
                  count_threads(program, flops) - 1);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
