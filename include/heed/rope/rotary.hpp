#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Rotary positions inside attention.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The rotation of one call's queries and keys: rows of tables that outlive it in scratch.
template <class T>
class rotary_rows {
  public:
    /// Where the row of (batch, i) lies: first + batch·batch_stride + i·row_size.
    struct side {
        const T* first = nullptr;
        index batch_stride = 0;
    };

    rotary_rows(side queries, side keys, index pairs, index padded, rope::pair_layout layout)
        : queries_(queries), keys_(keys), pairs_(pairs), padded_(padded), layout_(layout) {}

    void rotate_query(T* row, index batch, index query) const {
        turn_one<turn::forth>(queries_, row, batch, query);
    }
    void rotate_key(T* row, index batch, index key) const {
        turn_one<turn::forth>(keys_, row, batch, key);
    }
    void rotate_query_back(T* row, index batch, index query) const {
        turn_one<turn::back>(queries_, row, batch, query);
    }
    void rotate_key_back(T* row, index batch, index key) const {
        turn_one<turn::back>(keys_, row, batch, key);
    }
    /// Both numbers of each pair become the larger of them: what a rotation mixes is then relative
    /// to one reference.
    void share_pairs(T* row) const {
        const bool halves = layout_ == rope::halves;
        for (index p = 0; p < pairs_; ++p) {
            T& one = row[halves ? p : 2 * p];
            T& other = row[halves ? p + pairs_ : 2 * p + 1];
            one = other = std::max(one, other);
        }
    }

  private:
    template <detail::turn Way>
    void turn_one(side of, T* row, index batch, index at) const {
        const T* table = of.first + batch * of.batch_stride + at * 2 * padded_;
        if (layout_ == rope::halves)
            turn_row<Way, rope::halves>(row, row, table, pairs_, padded_);
        else
            turn_row<Way, rope::interleaved>(row, row, table, pairs_, padded_);
    }

    side queries_, keys_;
    index pairs_, padded_;
    rope::pair_layout layout_;
};

/// Whether query i stands where key i + keys − queries does: then one table serves both.
inline bool queries_stand_with_last_keys(const attention_shape& shape,
                                         const call_positions& where) {
    const index before = shape.keys - shape.queries;
    if (before < 0 || where.query_firsts != nullptr) return false;
    if (where.queries == nullptr && where.keys == nullptr)
        return where.query_first == where.key_first + before;
    for (index b = 0; b < (where.per_batch ? shape.batch : 1); ++b) {
        for (index i = 0; i < shape.queries; ++i) {
            if (where.query(shape, b, i) != where.key(shape, b, i + before)) return false;
        }
    }
    return true;
}

/// The part that heed::rotary makes: of frequencies that the caller keeps (Frequencies = const
/// rope::frequencies&), or of its own.
template <class Frequencies>
struct rotary_part : position_encoding_base {
    /// What linear attention asks for: rows of any kind are turned, and nothing else happens.
    static constexpr bool only_turns = true;

    Frequencies frequencies;

    explicit rotary_part(Frequencies&& of) : frequencies(std::forward<Frequencies>(of)) {}

    void check(const attention_shape& shape) const {
        require_shape(frequencies.dim() <= shape.dim, "the frequencies rotate ", frequencies.dim(),
                      " dimensions, but q and k have ", shape.dim);
    }

    /// Fills the tables: (distinct positions)·r numbers, about one head of k.
    template <class T>
    rotary_rows<T> prepare(arena& scratch, const attention_shape& shape,
                           const call_positions& where) const {
        const padded_frequencies<T> padded(scratch, frequencies);
        const index row_size = padded.row_size();

        const auto fill = [&](index count, bool differ, auto position) {
            const index batches = differ ? shape.batch : 1;
            T* table = scratch.take<T>(batches * count * row_size);
            T* row = table;
            for (index b = 0; b < batches; ++b)
                for (index i = 0; i < count; ++i, row += row_size)
                    padded.fill_row(position(b, i), row);
            return typename rotary_rows<T>::side{table, differ ? count * row_size : 0};
        };
        const auto keys = fill(shape.keys, where.per_batch,
                               [&](index b, index j) { return where.key(shape, b, j); });
        auto queries = keys;
        if (queries_stand_with_last_keys(shape, where)) {
            queries.first += (shape.keys - shape.queries) * row_size;
        } else {
            queries = fill(shape.queries, where.queries_differ(),
                           [&](index b, index i) { return where.query(shape, b, i); });
        }
        return {queries, keys, padded.pairs, padded.padded, frequencies.layout()};
    }
};

}  // namespace detail

/// A part: rotary positions. Pair t of q_i and of k_j is turned by the angle of its position,
/// position·θ_t, so that q_i·k_j depends on the difference of the two positions only:
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::rotary(rope));
///
/// Positions are 0, 1, 2, … for keys and end with theirs for queries, unless heed::positions says
/// otherwise. Frequencies of fewer dimensions than q's rotate the first ones; of more, shape_error.
/// An lvalue is viewed and must outlive the part, a temporary object is owned. Source: arXiv
/// 2104.09864; kexue 8265.
template <class Frequencies>
requires std::same_as<std::remove_cvref_t<Frequencies>, rope::frequencies>
[[nodiscard]] auto rotary(Frequencies&& frequencies) {
    if constexpr (std::is_lvalue_reference_v<Frequencies>) {
        return detail::rotary_part<const rope::frequencies&>(frequencies);
    } else {
        return detail::rotary_part<rope::frequencies>(std::move(frequencies));
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
