#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/backward_bundles.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/attention/kernel/schedule/ordered_sum.hpp>
#include <heed/attention/kernel/whole_row/dense_backward.hpp>
#include <heed/attention/kernel/whole_row/row_gradient_rule.hpp>
#include <heed/attention/kernel/whole_row/scores.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/kernel/whole_row/support_backward.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Exact attention backward for normalisers that need a whole row.
///
/// Rows whose support forward kept cost next to nothing (support_backward.hpp). The others are
/// computed again (dense_backward.hpp); blocks of queries add to dk and dv in their order, so that
/// neither depends on how many threads there are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Which rows of a block of queries go by their support (`supports`, null if none may), and where
/// its numbers stand among all; returns how many numbers there are.
template <class T>
index look_for_supports(const support_store<T>* supports, const query_place& at,
                        row_queries<T>& queries) {
    index numbers = 0;
    queries.any_dense = false;
    for (index r = 0; r < at.count; ++r) {
        const index query = at.first + r;
        queries.first[r] = numbers;
        queries.dense[r] = supports == nullptr || !supports->has(at.batch, at.head, query);
        if (!queries.dense[r]) numbers += supports->size(at.batch, at.head, query);
        queries.any_dense = queries.any_dense || queries.dense[r];
    }
    return numbers;
}

/// f(support_gradient) for the rows of a block that go by their support.
template <class T, class F>
void for_supports(const backward_call<T>& call, const support_store<T>& supports,
                  const row_queries<T>& queries, F&& f) {
    const query_tile<T>& tile = queries.tile;
    for (index r = 0; r < tile.count; ++r)
        if (!queries.dense[r])
            f(support_gradient<T>{call.program, queries, r,
                                  supports.row(tile.batch, tile.head, tile.first + r),
                                  queries.ds + queries.first[r], call.sums()});
}

/// dq, and the gradients of the scores, of those rows.
template <class T>
void differentiate_supports(const backward_call<T>& call, const row_gradient_rule<T>& rule,
                            const support_store<T>& supports, const row_head<T>& head,
                            const row_queries<T>& queries, arena& scratch) {
    const arena::scope mark(scratch);
    void* kernel = scratch.take<std::byte>(rule.kernel_bytes);
    rule.open(kernel, queries.tile.head);
    const contiguous_rows<T> values{head.values, padded<T>(call.shape().value_dim)};
    for_supports(call, supports, queries, [&](const support_gradient<T>& row) {
        row.differentiate(rule, kernel, head.packed.keys, values);
    });
}

/// Backward's way through a bundle of heads. `supports` are those that forward kept, null if every
/// row is to be computed again.
template <class T>
class whole_row_backward : public backward_bundles<T> {
    using base = backward_bundles<T>;
    using base::call, base::heads, base::key_blocks, base::query_blocks;

  public:
    struct bundle {
        row_head<T>* heads;       ///< [heads]
        row_queries<T>* queries;  ///< [heads, query blocks]
        index* turn;  ///< [key blocks]: the block of queries whose turn it is to add to dk and dv
    };

    /// What a key gets from supports is added at the end, by stretches of keys: enough of a head
    /// for `threads` threads to share.
    whole_row_backward(const backward_call<T>& of, const row_gradient_rule<T>& rule,
                       const support_store<T>* supports, index threads)
        : base(of, row_block<T>(of.shape().keys)),
          rule_(rule),
          supports_(supports),
          stretch_(count_blocks(key_blocks, std::max<index>(1, threads))),
          stretches_(key_blocks == 0 ? 0 : count_blocks(key_blocks, stretch_)) {}

    bundle take(index number, arena& scratch) const {
        const attention_shape& shape = call.shape();
        const bundle to{scratch.take<row_head<T>>(heads),
                        scratch.take<row_queries<T>>(heads * query_blocks),
                        scratch.take<index>(key_blocks)};
        std::fill_n(to.turn, static_cast<std::size_t>(key_blocks), index(0));
        for (index i = 0; i < heads; ++i)
            to.heads[i] = make_row_head<T>(shape, call.program.source.key_map_count, scratch);
        for (index i = 0; i < heads * query_blocks; ++i) {
            const query_place at = this->queries_of(number, i);
            row_queries<T>& queries = to.queries[i];
            queries = {this->take_queries(number, i, scratch), nullptr,
                       scratch.take<index>(at.count), scratch.take<bool>(at.count), true};
            queries.ds = scratch.take<T>(look_for_supports(supports_, at, queries));
            row_head<T>& head = to.heads[i / query_blocks];
            head.dense = head.dense || queries.any_dense;
        }
        return to;
    }

    void prepare(const bundle& to, index number, int step, index piece,
                 const running_task& task) const {
        if (step == base::of_keys) {
            pack_row_keys(call.program, this->keys_of(number, piece), to.heads[piece / key_blocks],
                          task.scratch);
            return;
        }
        row_queries<T>& queries = to.queries[piece];
        pack_backward_queries(call.program, call.d_o, this->queries_of(number, piece),
                              queries.any_dense, queries, task.scratch);
        if (supports_ != nullptr)
            differentiate_supports(call, rule_, *supports_, to.heads[piece / query_blocks], queries,
                                   task.scratch);
    }

    /// Blocks of queries, then stretches of keys.
    index pieces() const { return heads * (query_blocks + stretches_); }

    void work(const bundle& from, index number, index piece, const running_task& task) const {
        if (piece >= heads * query_blocks)
            return finish_stretch(from, number, piece - heads * query_blocks, task);
        const row_queries<T>& queries = from.queries[piece];
        if (add_query_block(call, rule_, from.heads[piece / query_blocks], queries, from.turn,
                            piece, task))
            finish_queries(call, queries, task.scratch);
    }

  private:
    /// dk and dv of the piece-th of [head, stretches of keys].
    void finish_stretch(const bundle& from, index number, index piece,
                        const running_task& task) const {
        const index first_block = piece % stretches_ * stretch_;
        const index end_block = std::min(first_block + stretch_, key_blocks);
        if (!await_turn(from.turn + end_block - 1, heads * query_blocks, task.failed)) return;
        const index i = piece / stretches_;
        const row_head<T>& head = from.heads[i];
        key_place at = this->keys_of(number, i * key_blocks + first_block);
        at.count = std::min(end_block * key_block<T>, call.shape().keys) - at.first;
        if (supports_ != nullptr)
            for (index n = 0; n < query_blocks; ++n)
                for_supports(call, *supports_, from.queries[i * query_blocks + n],
                             [&](const support_gradient<T>& row) {
                                 row.add_to_keys({at.first, at.first + at.count}, head.dk, head.dv);
                             });
        finish_keys(call, at, rows_at(head.dk, at.first * padded<T>(call.shape().dim)),
                    head.dv + at.first * padded<T>(call.shape().value_dim), task.scratch);
    }

    const row_gradient_rule<T>& rule_;
    const support_store<T>* supports_;
    index stretch_;    ///< blocks of keys
    index stretches_;  ///< of a head
};

/// dq, dk, dv, and what is learned, of a call; `supports` are those that forward kept, null if
/// every row is to be computed again.
template <class T>
void backward_whole_rows(const backward_call<T>& call, const row_gradient_rule<T>& rule,
                         const support_store<T>* supports) {
    const attention_program<T>& program = call.program;
    const attention_shape& shape = program.shape();
    if (shape.batch * shape.heads == 0) return;
    // Of rows with a support next to nothing is computed.
    const index threads = count_threads(program, supports == nullptr ? 5 : 0.5);
    const index heads = shape.batch * shape.kv_heads;
    const whole_row_backward<T> kernel(call, rule, supports, count_blocks(threads, heads));
    deal_heads(program.threads.pool, program.memory, deal_whole_heads(kernel.bundles(), threads),
               threads, kernel);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
