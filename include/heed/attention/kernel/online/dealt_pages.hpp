#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/forward_tile.hpp>
#include <heed/attention/kernel/online/head_group.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Forward of few queries over a cache that has fewer heads than there are threads: the pages of
/// each head are dealt out, if there are enough of them.
///
/// What reads memory is done in parallel, a page at a time: first the scores, then, from zero, the
/// products of weights with values. What goes from page to page is done between, by the calling
/// thread in their order: references and weights, and the sum of the products. Each number is made
/// as in head_group.hpp, by the same functions, so that it has the same bits.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A page on its way.
template <class T>
struct dealt_page {
    index first_key;
    key_interval range;  ///< what any head sees of it
    key_interval* own;   ///< [heads]: what each does
    T* scores;           ///< of all rows, then their weights
    T* row_maximum;      ///< of all rows
    T* factor;           ///< by which what was summed before it is to be multiplied
    T* sums;             ///< Σ weight·v
    bool finite, moderate;

    bool is_seen() const { return range.first < range.last; }
};

/// Pages that are on their way at once: many, since threads wake twice for them, which takes longer
/// than reading a page; but no more than caches hold of their scores and sums.
template <class T>
index pages_at_once(const joint_rows<T>& joint, index threads) {
    constexpr index most_bytes = index{1} << 22;
    const index numbers = joint.capacity() * (score_stride<T> + joint.output_stride);
    const index held = most_bytes / (numbers * static_cast<index>(sizeof(T)));
    return std::clamp<index>(held, 2 * threads, 64 * threads);
}

template <class T>
dealt_page<T> make_dealt_page(const head_group<T>& group, arena& scratch) {
    const joint_rows<T>& joint = group.joint;
    const index rows = joint.capacity();
    return {0,
            {},
            scratch.take<key_interval>(group.heads),
            scratch.take<T>(rows * score_stride<T>),
            scratch.take<T>(rows),
            scratch.take<T>(rows),
            scratch.take<T>(rows * joint.output_stride),
            true,
            true};
}

/// The group with the scores, factors and sums of a page.
template <class T>
head_group<T> on_page(const head_group<T>& group, const dealt_page<T>& page) {
    head_group<T> result = group;
    result.joint.scores = page.scores;
    result.joint.factor = page.factor;
    result.joint.sums = page.sums;
    return result;
}

/// The same for a thread that is at work on the page alone: with tasks and a `head` of its own.
template <class T>
head_group<T> alone_on_page(const head_group<T>& group, const dealt_page<T>& page,
                            const packed_head<T>& head, arena& scratch) {
    head_group<T> result = on_page(group, page);
    result.joint.lane_maximum = scratch.take<T>(group.joint.capacity() * vec<T>::size);
    result.tasks = scratch.take<forward_task<T>*>(group.heads);
    for (index h = 0; h < group.heads; ++h) {
        const forward_task<T>& task = *group.tasks[h];
        result.tasks[h] = &scratch.make<forward_task<T>>(
            task.program, task.weights, head, scratch, task.tile, task.state,
            make_block_view(task.program, 1, scratch), task.stream, task.observed);
        result.tasks[h]->state.row_maximum = page.row_maximum + group.joint.row_of(h);
    }
    return result;
}

/// The scores of a page, by any thread, which reads its keys alone.
template <class T>
void score_page(const head_group<T>& group, dealt_page<T>& page, arena& scratch) {
    const auto head = make_open_head(group.program(), scratch, block_part::keys);
    const head_group<T> alone = alone_on_page(group, page, head, scratch);
    page.range = look_jointly(alone, page.first_key);
    if (!page.is_seen()) return;
    find_jointly(alone, page.first_key);
    page.finite = head.open->finite;
    page.moderate = head.open->all_moderate;
    multiply_joint_keys(alone, page.first_key, page.range);
    finish_joint_scores(alone);
    for (index h = 0; h < group.heads; ++h) page.own[h] = alone.tasks[h]->block.range[0];
}

/// They become weights, page after page.
template <class T>
void weigh_page(const head_group<T>& group, const dealt_page<T>& page) {
    if (!page.is_seen()) return;
    for (index h = 0; h < group.heads; ++h) {
        forward_task<T>& task = *group.tasks[h];
        task.block.range[0] = page.own[h];
        std::copy_n(page.row_maximum + group.joint.row_of(h),
                    static_cast<std::size_t>(group.joint.queries), task.state.row_maximum);
    }
    weigh_joint_rows(on_page(group, page), page.first_key, page.range);
}

/// Σ weight·v of a page, by any thread, which reads its values alone.
template <class T>
void sum_page(const head_group<T>& group, const dealt_page<T>& page, arena& scratch) {
    if (!page.is_seen() || !page.finite) return;
    const auto head = make_open_head(group.program(), scratch, block_part::values);
    const head_group<T> alone = alone_on_page(group, page, head, scratch);
    find_jointly(alone, page.first_key);
    sum_joint_values(alone, page.first_key, page.range);
}

/// The sums are added, page after page.
template <class T>
void add_page(const head_group<T>& group, const dealt_page<T>& page) {
    if (!page.is_seen()) return;
    head_block<T>& open = *group.tasks[0]->head.open;
    open.all_moderate = open.all_moderate && page.moderate;
    const head_group<T> at = on_page(group, page);
    if (page.finite) {
        add_joint_sums(at.joint);
    } else {
        look_jointly(group, page.first_key);
        add_seen_joint_values(at, page.first_key, page.range);
    }
    end_joint_block(at, page.first_key);
}

/// How many pages with keys in an interval there are.
template <class T>
index count_pages(const attention_program<T>& program, index batch, key_interval seen) {
    index count = 0;
    for (index block = seen.first / key_block<T>;; ++block, ++count) {
        block = next_block(program, batch, block);
        if (block * key_block<T> >= seen.last) return count;
    }
}

/// How many pages of the `number`-th head of k its queries see; −1 if its heads do not see alike.
template <class T>
index count_joint_pages(const attention_program<T>& program, index number, arena& scratch) {
    const attention_shape& shape = program.shape();
    const index heads = shape.heads / shape.kv_heads, batch = number / shape.kv_heads;
    if (heads == 0) return 0;
    const arena::scope mark(scratch);
    const auto look = [&](index h) {
        query_tile<T> tile{.batch = batch,
                           .head = number % shape.kv_heads * heads + h,
                           .count = shape.queries,
                           .rows = scratch.take<query_row>(shape.queries),
                           .seen = scratch.take<key_interval>(shape.queries)};
        program.sight.look(tile);
        return tile;
    };
    const query_tile<T> first = look(0);
    for (index h = 1; h < heads; ++h) {
        const arena::scope of_head(scratch);
        if (!see_alike(first, look(h))) return -1;
    }
    return count_pages(program, batch, first.seen_by_all());
}

/// Whether a call over a cache is faster where threads share the pages of one head after the other
/// than where each takes a head: where it has few queries a head, rows that can be one tile's, and
/// heads whose pages, so many at once as there are threads, are fewer steps than those of the
/// longest head one by one.
template <class T>
bool deals_pages(const attention_program<T>& program, index threads) {
    const attention_shape& shape = program.shape();
    const index heads = shape.batch * shape.kv_heads;
    if (shape.queries > tiles.score_rows || heads >= threads || program.source.is_rectified())
        return false;
    index shared = 0, longest = 0;
    for (index number = 0; number < heads; ++number) {
        const index pages = count_joint_pages(program, number, program.memory.slot(0));
        if (pages < 0) return false;
        shared += count_blocks(pages, threads);
        longest = std::max(longest, pages);
    }
    return shared < longest;
}

/// All pages with keys in an interval.
template <class T>
void deal_pages(const head_group<T>& group, index batch, key_interval seen, index threads) {
    const attention_program<T>& program = group.program();
    arena& scratch = group.tasks[0]->scratch;
    const arena::scope mark(scratch);
    const index most =
        std::min(pages_at_once(group.joint, threads), count_pages(program, batch, seen));
    auto* pages = scratch.take<dealt_page<T>>(most);
    for (index p = 0; p < most; ++p) pages[p] = make_dealt_page(group, scratch);

    for (index block = seen.first / key_block<T>;;) {
        index count = 0;
        for (; count < most; ++count, ++block) {
            block = next_block(program, batch, block);
            if (block * key_block<T> >= seen.last) break;
            pages[count].first_key = block * key_block<T>;
        }
        if (count == 0) return;
        const auto in_parallel = [&](auto&& work) {
            const auto task = [&](index slot, index p) {
                arena& own = program.memory.slot(slot);
                const arena::scope of_task(own);
                work(group, pages[p], own);
            };
            for_each_task(program.threads.pool, program.memory, count, task, threads - 1);
        };
        in_parallel([](auto&... all) { score_page(all...); });
        for (index p = 0; p < count; ++p) weigh_page(group, pages[p]);
        in_parallel([](auto&... all) { sum_page(all...); });
        for (index p = 0; p < count; ++p) add_page(group, pages[p]);
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
