#pragma once

#include <algorithm>

#include <heed/attention/kernel/products/packed_backward.hpp>
#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/backward_call.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// How backward is dealt out: the heads of k, and the blocks of queries that read them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What the kernels of backward have in common, for deal_heads. A bundle is one head of k, or all
/// of them where a learned part wants it; it is prepared by blocks of keys, then by blocks of
/// queries.
template <class T>
class backward_bundles {
  public:
    static constexpr int preparations = 2;
    enum preparation { of_keys, of_queries };

    /// Blocks of `rows` queries.
    backward_bundles(const backward_call<T>& of, index rows)
        : call(of),
          heads(call.heads_a_bundle()),
          key_blocks(count_blocks(call.shape().keys, key_block<T>)),
          query_blocks(call.shape().heads / call.shape().kv_heads *
                       count_blocks(call.shape().queries, rows)),
          height(rows) {}

    index prepare_count(int step) const {
        return heads * (step == of_keys ? key_blocks : query_blocks);
    }

    index bundles() const { return call.shape().batch * call.shape().kv_heads / heads; }

  protected:
    /// The piece-th of [head, block] of a bundle.
    key_place keys_of(index bundle, index piece) const {
        return locate_keys<T>(call.shape(), bundle * heads + piece / key_blocks,
                              piece % key_blocks);
    }
    query_place queries_of(index bundle, index piece) const {
        return locate_queries(call.shape(), bundle * heads + piece / query_blocks,
                              piece % query_blocks, height);
    }
    backward_queries<T> take_queries(index bundle, index piece, arena& scratch) const {
        return make_backward_queries<T>(call.shape(), call.program.source.query_map_count,
                                        queries_of(bundle, piece).count, scratch);
    }

    const backward_call<T>& call;
    index heads;         ///< of k in a bundle
    index key_blocks;    ///< of one of them
    index query_blocks;  ///< that read it
    index height;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
