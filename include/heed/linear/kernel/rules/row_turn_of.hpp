#pragma once

#include <algorithm>
#include <type_traits>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/linear/kernel/rules/feature_rule.hpp>
#include <heed/linear/part.hpp>

/// \file
/// A rotary encoding as the kernel knows it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// row_turn by what an encoding prepared. Tables have a row for every position from `origin` on,
/// queries and keys alike.
template <class T, class Prepared>
class row_turn_of final : public row_turn<T> {
  public:
    row_turn_of(const Prepared& prepared, index origin) : prepared_(prepared), origin_(origin) {}

    void turn(typename row_turn<T>::side, typename row_turn<T>::way to, written_rows<T> rows,
              index batch, index first, index count) const override {
        for (index r = 0; r < count; ++r) {
            const index place = first + r - origin_;
            if (to == row_turn<T>::way::forth)
                prepared_.rotate_key(rows[r], batch, place);
            else
                prepared_.rotate_key_back(rows[r], batch, place);
        }
    }

    void share(T* row) const override { prepared_.share_pairs(row); }

  private:
    Prepared prepared_;
    index origin_;
};

/// The tables of a call: positions go on from `firsts` of each sequence, or begin with 0.
template <class T, class Encoding>
const row_turn<T>& make_row_turn(const Encoding& encoding, const linear_shape& shape, index width,
                                 const index* firsts, arena& scratch) {
    const index origin = std::min<index>(0, shape.keys - shape.queries);
    attention_shape table = as_attention(shape);
    table.dim = width;
    table.keys = std::max(shape.keys, shape.queries);
    table.queries = 0;
    call_positions where;
    where.key_first = origin;
    bool differ = false;
    if (firsts != nullptr && shape.batch > 0) {
        where.key_first = origin + firsts[0];
        for (index b = 1; b < shape.batch; ++b) differ = differ || firsts[b] != firsts[0];
    }
    if (differ) {
        double* positions = scratch.take<double>(shape.batch * table.keys);
        for (index b = 0; b < shape.batch; ++b)
            for (index j = 0; j < table.keys; ++j)
                positions[b * table.keys + j] = static_cast<double>(firsts[b] + origin + j);
        where.keys = positions;
        where.per_batch = true;
    }
    where.query_first = where.key_first + table.keys;  // none: the keys' table serves all
    where.queries = where.keys;
    const auto prepared = encoding.template prepare<T>(scratch, table, where);
    return scratch.make<row_turn_of<T, std::remove_cv_t<decltype(prepared)>>>(prepared, origin);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
