#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// The queries of all heads that share a head of k, as rows of one tile.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The queries of several heads as rows [head, query] of one tile.
template <class T>
struct joint_rows {
    index count = 0;  ///< 0: each head goes alone
    index queries = 0;
    T* strips = nullptr;
    const T* panels = nullptr;    ///< of pairs, in the place of strips
    T* product_factor = nullptr;  ///< of pairs and integers: as in a tile
    T* scores = nullptr;
    T* lane_maximum = nullptr;
    T* factor = nullptr;
    T* sums = nullptr;  ///< of a block
    T* output = nullptr;
    index output_stride = 0;

    /// A head's first row.
    index row_of(index head) const { return head * queries; }
    /// Rows that there is memory for: tiles may be a few too high.
    index capacity() const { return round_up(count, tiles.score_rows) + tiles.score_rows; }
};

/// Tasks of the heads of a group, and what they share.
template <class T>
struct head_group {
    index heads;
    forward_task<T>** tasks;
    joint_rows<T> joint;

    const attention_program<T>& program() const { return tasks[0]->program; }
};

/// Whether the rows of two heads see the same keys but for what masks say lane by lane.
template <class T>
bool see_alike(const query_tile<T>& a, const query_tile<T>& b) {
    return std::equal(a.seen, a.seen + a.count, b.seen, [](key_interval x, key_interval y) {
        return x.first == y.first && x.last == y.last;
    });
}

/// Whether the heads' rows can be one tile's: few, of one map, and seeing alike.
template <class T>
bool can_join(const head_group<T>& group) {
    const query_tile<T>& first = group.tasks[0]->tile;
    const attention_program<T>& program = group.program();
    if (first.count > first.strip || program.source.is_rectified()) return false;
    if (program.pairs != nullptr && program.cache == nullptr) return false;
    for (index h = 1; h < group.heads; ++h)
        if (!see_alike(first, group.tasks[h]->tile)) return false;
    return true;
}

/// The queries of all heads, one under the other.
template <class T>
contiguous_rows<T> gather_queries(const head_group<T>& group, const joint_rows<T>& joint,
                                  arena& scratch) {
    const index dim = group.program().shape().dim;
    T* plain = scratch.take<T>(joint.count * dim);
    for (index h = 0; h < group.heads; ++h)
        std::copy_n(group.tasks[h]->tile.plain[0], static_cast<std::size_t>(joint.queries * dim),
                    plain + joint.row_of(h) * dim);
    return {plain, dim};
}

/// What products with their keys are multiplied by; null if every factor is 1.
template <class T>
T* gather_factors(const head_group<T>& group, const joint_rows<T>& joint, arena& scratch) {
    T* factor = scratch.take<T>(joint.capacity());
    std::fill_n(factor, static_cast<std::size_t>(joint.capacity()), T(1));
    bool is_one = true;
    for (index h = 0; h < group.heads; ++h) {
        const T* own = group.tasks[h]->tile.factor;
        if (own == nullptr) continue;
        std::copy_n(own, static_cast<std::size_t>(joint.queries), factor + joint.row_of(h));
        is_one = false;
    }
    return is_one ? nullptr : factor;
}

/// They are pairs, for keys that are read as rows.
template <class T>
void pack_paired_rows(const head_group<T>& group, joint_rows<T>& joint, arena& scratch) {
    const forward_task<T>& first = *group.tasks[0];
    joint.panels = first.program.pairs->pack_row_queries(gather_queries(group, joint, scratch),
                                                         joint.count, first.program.shape().dim,
                                                         first.head.open->shared_dim, scratch);
}

template <class T>
joint_rows<T> make_joint_rows(const head_group<T>& group, arena& scratch) {
    const attention_program<T>& program = group.program();
    const index dim = program.shape().dim;
    joint_rows<T> joint;
    joint.queries = group.tasks[0]->tile.count;
    joint.count = group.heads * joint.queries;
    joint.output_stride = group.tasks[0]->state.output_stride;
    const index rows = joint.capacity();
    joint.scores = scratch.take<T>(rows * score_stride<T>);
    joint.lane_maximum = scratch.take<T>(rows * vec<T>::size);
    joint.factor = scratch.take<T>(rows);
    joint.sums = scratch.take<T>(rows * joint.output_stride);
    joint.output = scratch.take<T>(rows * joint.output_stride);
    std::fill_n(joint.output, static_cast<std::size_t>(rows * joint.output_stride), T(0));
    joint.product_factor = gather_factors(group, joint, scratch);
    if (program.pairs != nullptr) {
        pack_paired_rows(group, joint, scratch);
        return joint;
    }
    joint.strips = scratch.take<T>(packed_size<T>(tiles.score_rows, joint.count, dim));
    const arena::scope mark(scratch);
    pack_strips<T>(gather_queries(group, joint, scratch), joint.count, program.packed_dim(),
                   joint.strips);
    return joint;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
