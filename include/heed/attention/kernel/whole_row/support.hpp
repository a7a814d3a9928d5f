#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/blocks.hpp>

/// \file
/// The supports of a sparse attention: which keys each row gave a probability that is not zero.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Probabilities that are not zero, and whose they are.
template <class T>
struct row_support {
    const T* probabilities;
    const std::int32_t* positions;  ///< ascending
    index count;
};

/// What a sparse forward keeps for backward: the supports of its rows, block of queries by block,
/// each block in memory of its own, so that any thread may write it. A row with more than
/// `most_kept` entries keeps none, and backward computes it again: so there are at most
/// most_kept·(4 + sizeof(T)) bytes a row.
template <class T>
class support_store {
  public:
    static constexpr index most_kept = 256;

    void reset(const attention_shape& shape, index rows_a_block) {
        rows_a_block_ = rows_a_block;
        heads_ = shape.heads;
        queries_ = shape.queries;
        blocks_a_head_ = count_blocks(queries_, rows_a_block);
        places_.resize(static_cast<std::size_t>(shape.batch * heads_ * queries_));
        blocks_.resize(static_cast<std::size_t>(shape.batch * heads_ * blocks_a_head_));
    }

    /// Before the first row of a block.
    void begin_block(index batch, index head, index first) {
        block& to = block_of(batch, head, first);
        to.probabilities.clear();
        to.positions.clear();
    }

    /// The next row of a block, its positions counted from `first_key`.
    void add(index batch, index head, index query, index first_key, const row_support<T>& support) {
        place& at = place_of(batch, head, query);
        at = {static_cast<std::int32_t>(support.count), -1};
        if (support.count > most_kept) return;
        block& to = block_of(batch, head, query);
        at.first = static_cast<std::int32_t>(to.positions.size());
        for (index s = 0; s < support.count; ++s) {
            to.probabilities.push_back(support.probabilities[s]);
            to.positions.push_back(static_cast<std::int32_t>(first_key) + support.positions[s]);
        }
    }

    /// How many probabilities of a row are not zero.
    index size(index batch, index head, index query) const {
        return place_of(batch, head, query).count;
    }
    bool has(index batch, index head, index query) const {
        return place_of(batch, head, query).first >= 0;
    }
    /// The support of a row that has been kept.
    row_support<T> row(index batch, index head, index query) const {
        const place& at = place_of(batch, head, query);
        const block& from = block_of(batch, head, query);
        return {from.probabilities.data() + at.first, from.positions.data() + at.first, at.count};
    }

  private:
    struct block {
        std::vector<T> probabilities;
        std::vector<std::int32_t> positions;
    };
    struct place {
        std::int32_t count;
        std::int32_t first;  ///< in its block; −1 if not kept
    };

    template <class Self>
    static auto& block_at(Self& self, index batch, index head, index query) {
        const index number = (batch * self.heads_ + head) * self.blocks_a_head_;
        return self.blocks_[static_cast<std::size_t>(number + query / self.rows_a_block_)];
    }
    block& block_of(index batch, index head, index query) {
        return block_at(*this, batch, head, query);
    }
    const block& block_of(index batch, index head, index query) const {
        return block_at(*this, batch, head, query);
    }
    place& place_of(index batch, index head, index query) {
        return places_[static_cast<std::size_t>((batch * heads_ + head) * queries_ + query)];
    }
    const place& place_of(index batch, index head, index query) const {
        return places_[static_cast<std::size_t>((batch * heads_ + head) * queries_ + query)];
    }

    index rows_a_block_ = 1, heads_ = 0, queries_ = 0, blocks_a_head_ = 0;
    std::vector<place> places_;
    std::vector<block> blocks_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
