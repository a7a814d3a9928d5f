#pragma once

#include <algorithm>
#include <cstddef>

#include <heed/attention/kernel/online/backward_tile.hpp>
#include <heed/attention/kernel/online/gradient_rule.hpp>
#include <heed/attention/kernel/products/block_view.hpp>
#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/products/scores.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/backward_bundles.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// Exact attention backward: probabilities are computed again from q, k and the rows' statistics.
///
/// With s the scores, p the probabilities, and per row D = d_o·o less the log-sum-exp's gradient:
///
///     dp = d_o·vᵀ   ds = p ⊙ (dp − D)/τ   dv = pᵀ·d_o   dk = dsᵀ·q   dq = ds·k
///
/// and under dropout dp ⊙ m and p ⊙ m in the place of dp and of dv's p, m its factors: D stays
/// d_o·o.
///
/// Built for the peak of the multiply-add units: five products a tile of queries × keys, two tiles
/// of scores (p and ds) that stay in the L2 cache. A block of keys is one task's, which owns its dk
/// and dv; into dq the blocks add in the order of the keys, and the last one writes it, so that
/// neither depends on how many threads there are.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Backward's way through a bundle of heads.
template <class T>
class online_backward : public backward_bundles<T> {
    using base = backward_bundles<T>;
    using base::call, base::heads, base::key_blocks, base::query_blocks;

  public:
    struct bundle {
        backward_keys<T>* keys;        ///< [heads]
        backward_queries<T>* queries;  ///< [heads, query blocks]
    };

    online_backward(const backward_call<T>& of, const gradient_rule<T>& rule,
                    const tensor_view<const T, 4>& o)
        : base(of, tiles.backward_block), rule_(rule), o_(o) {}

    bundle take(index number, arena& scratch) const {
        const bundle to{scratch.take<backward_keys<T>>(heads),
                        scratch.take<backward_queries<T>>(heads * query_blocks)};
        for (index i = 0; i < heads; ++i)
            to.keys[i] =
                make_backward_keys<T>(call.shape(), call.program.source.key_map_count, scratch);
        for (index i = 0; i < heads * query_blocks; ++i)
            to.queries[i] = this->take_queries(number, i, scratch);
        return to;
    }

    void prepare(const bundle& to, index number, int step, index piece,
                 const running_task& task) const {
        if (step == base::of_keys) {
            pack_backward_keys(call.program, this->keys_of(number, piece), true,
                               to.keys[piece / key_blocks], task.scratch);
            return;
        }
        backward_queries<T>& queries = to.queries[piece];
        pack_backward_queries(call.program, call.d_o, this->queries_of(number, piece), true,
                              queries, task.scratch);
        find_statistics(call.program, rule_, o_, queries, task.scratch);
        const query_tile<T>& tile = queries.tile;
        if (call.row_numbers != nullptr)
            std::copy_n(queries.statistic, static_cast<std::size_t>(tile.count),
                        call.row_numbers + call.row_of(tile));
        if (queries.seen.first == queries.seen.last) finish_queries(call, queries, task.scratch);
    }

    index pieces() const { return key_blocks; }

    /// A block of keys of each head.
    void work(const bundle& from, index number, index block, const running_task& task) const {
        for (index i = 0; i < heads; ++i)
            if (!differentiate_keys(from.keys[i], from.queries + i * query_blocks,
                                    this->keys_of(number, i * key_blocks + block), task))
                return;
    }

  private:
    /// One block of keys against all queries of its head: writes its dk and dv. False if another
    /// task failed.
    bool differentiate_keys(const backward_keys<T>& keys, const backward_queries<T>* queries,
                            const key_place& at, const running_task& task) const {
        const attention_program<T>& program = call.program;
        const attention_shape& shape = call.shape();
        const arena::scope mark(task.scratch);
        const index rows = std::min(tiles.backward_block, shape.queries);
        const auto state = make_backward_state<T>(shape, program.source.key_map_count, rows,
                                                  at.count, task.scratch);
        auto block =
            make_block_view(program, count_blocks(rows, query_tile<T>::strip), task.scratch);
        for (index i = 0; i < query_blocks; ++i) {
            const key_interval seen = queries[i].seen;
            if (seen.first >= at.first + at.count || seen.last <= at.first) continue;
            look_at_block(program, queries[i].tile, at.first, block);
            if (!differentiate_tile(call, rule_, keys, queries[i], block, state, task))
                return false;
        }
        finish_keys(call, at, state.dk, state.dv, task.scratch);
        return true;
    }

    const gradient_rule<T>& rule_;
    const tensor_view<const T, 4>& o_;
};

/// dq, dk, dv, and what is learned, of a call; o is what forward returned.
template <class T>
void backward(const backward_call<T>& call, const gradient_rule<T>& rule,
              const tensor_view<const T, 4>& o) {
    const attention_program<T>& program = call.program;
    if (program.shape().batch * program.shape().heads == 0) return;
    const index threads = count_threads(program, 5);
    const online_backward<T> kernel(call, rule, o);
    deal_heads(program.threads.pool, program.memory, deal_whole_heads(kernel.bundles(), threads),
               threads, kernel);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
