#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/kernel/schedule/call_threads.hpp>
#include <heed/attention/kernel/schedule/query_blocks.hpp>
#include <heed/attention/kernel/whole_row/forward.hpp>
#include <heed/attention/kernel/whole_row/scores.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/shape.hpp>

/// \file
/// The scores themselves, for the one function that forms their matrix.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// scores [batch, heads, queries, keys], whose rows are contiguous: what the normaliser of a call
/// is given, −∞ where a row does not see.
template <class T>
void write_score_matrix(const attention_program<T>& program, const tensor_view<T, 4>& scores) {
    const index keys = program.shape().keys;
    const auto score = [&](const query_place& at, const packed_head<T>& packed, arena& scratch) {
        const arena::scope mark(scratch);
        auto task = make_row_task(program, at, packed, scratch);
        const auto keys_of = [&](index block) {
            open_block(program, task.tile, block, packed, scratch);
            return packed.keys();
        };
        score_all_keys(program, task.tile, keys_of, task.rows, task.block, scratch);
        for (index r = 0; r < at.count; ++r) {
            T* to = &scores(at.batch, at.head, at.first + r, 0);
            std::fill_n(to, static_cast<std::size_t>(keys), -std::numeric_limits<T>::infinity());
            const auto [first, last] = task.rows.own[r];
            const T* row = task.rows.row(r);
            std::copy(row + first, row + std::min(last, keys - task.rows.first),
                      to + task.rows.first + first);
        }
    };
    for_query_blocks(program, count_threads(program, 1), row_block<T>(keys), score);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
