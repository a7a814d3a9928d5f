#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/attend.hpp>
#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/head_group.hpp>
#include <heed/attention/kernel/online/weight_rule.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/view.hpp>

/// \file
/// All that the queries of a group of heads want of its head of k, from the first block of keys to
/// the last.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A block of keys for all heads as rows of one tile.
template <class T>
void add_block_jointly(const head_group<T>& group, index first_key) {
    const key_interval range = look_jointly(group, first_key);
    if (range.first >= range.last) return;
    find_jointly(group, first_key);
    multiply_joint_keys(group, first_key, range);
    finish_joint_scores(group);
    weigh_joint_rows(group, first_key, range);
    if (group.tasks[0]->head.open->finite) {
        sum_joint_values(group, first_key, range);
        add_joint_sums(group.joint);
    } else {
        add_seen_joint_values(group, first_key, range);
    }
    end_joint_block(group, first_key);
}

/// A block of keys for each head alone.
template <class T>
void add_block_by_heads(const head_group<T>& group, index first_key) {
    for (index h = 0; h < group.heads; ++h) {
        forward_task<T>& task = *group.tasks[h];
        const key_interval own = task.tile.seen_by_all();
        if (own.last <= first_key || own.first >= first_key + key_block<T>) continue;
        look_at_block(task.program, task.tile, first_key, task.block);
        add_block(task, nullptr);
    }
}

/// All blocks of keys in an interval, one after the other.
template <class T>
void add_blocks(const head_group<T>& group, index batch, key_interval seen) {
    const bool joins = group.joint.count > 0;
    for (index block = seen.first / key_block<T>;; ++block) {
        block = next_block(group.program(), batch, block);
        if (block * key_block<T> >= seen.last) break;
        if (joins)
            add_block_jointly(group, block * key_block<T>);
        else
            add_block_by_heads(group, block * key_block<T>);
    }
}

/// Whether the heads of a group, each alone, read the keys of a cache as rows.
template <class T>
bool read_rows(const head_group<T>& group) {
    const forward_task<T>& first = *group.tasks[0];
    if (first.head.open->shared_dim == 0 || group.joint.count > 0) return false;
    if (first.head.open->in_pairs) return true;
    for (index h = 0; h < group.heads; ++h)
        if (!may_read_rows(first.program, group.tasks[h]->tile)) return false;
    return true;
}

/// They do from now on: their queries are packed for that.
template <class T>
void begin_reading_rows(const head_group<T>& group, arena& scratch) {
    const index dim = group.program().shape().dim;
    group.tasks[0]->head.open->reads_rows = true;
    for (index h = 0; h < group.heads; ++h) {
        forward_task<T>& task = *group.tasks[h];
        query_tile<T>& tile = task.tile;
        tile.panels = task.head.open->in_pairs ? pack_paired_queries(task, scratch)
                                               : task.program.cache->pack_row_queries(
                                                     tile.plain[0], tile.count, dim, scratch);
    }
}

/// Queries first … first + count − 1 of the heads that read the `number`-th head of k: o, and
/// unless null the statistics of its rows. More threads than one share its pages, where a cache has
/// them.
template <class T>
void stream_head(const attention_program<T>& program, const weight_rule<T>& weights, index number,
                 index first, index count, index threads, const tensor_view<T, 4>& o,
                 std::byte* statistics, arena& scratch) {
    const attention_shape& shape = program.shape();
    const index batch = number / shape.kv_heads, kv_head = number % shape.kv_heads;
    const index heads = shape.heads / shape.kv_heads;
    if (heads == 0) return;
    auto head = make_open_head(program, scratch);
    if (program.cache == nullptr) locate_values(program, batch, kv_head, head);
    head_group<T> group{heads, scratch.take<forward_task<T>*>(heads), {}};
    const auto place_of = [&](index h) {
        return query_place{batch, kv_head * heads + h, first, count};
    };
    key_interval seen{shape.keys, 0};
    for (index h = 0; h < heads; ++h) {
        group.tasks[h] = &scratch.make<forward_task<T>>(
            begin_attention(program, weights, place_of(h), head, scratch));
        begin_sums(*group.tasks[h]);
        const key_interval own = group.tasks[h]->tile.seen_by_all();
        if (own.first == own.last) continue;
        seen = {std::min(seen.first, own.first), std::max(seen.last, own.last)};
    }
    // Of pairs the rows of a head alone fill vectors as well.
    const bool is_alone = heads == 1 && threads == 1 && program.pairs != nullptr;
    if (!is_alone && can_join(group)) group.joint = make_joint_rows(group, scratch);
    if (read_rows(group)) begin_reading_rows(group, scratch);
    const bool joins = group.joint.count > 0;
    if (joins && threads > 1)
        program.cache->deal_pages(group, batch, seen, threads);
    else
        add_blocks(group, batch, seen);
    for (index h = 0; h < heads; ++h) {
        const query_place at = place_of(h);
        const index row = (batch * shape.heads + at.head) * shape.queries + first;
        if (joins) copy_joint_output(group, h, false);
        end_sums(*group.tasks[h]);
        end_attention(
            *group.tasks[h], at, o,
            statistics == nullptr ? nullptr : statistics + row * weights.statistics_bytes);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
