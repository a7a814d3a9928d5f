#pragma once

#include <functional>
#include <vector>

#include "tensor.hpp"

/// \file
/// Masks (spec, section 1). A mask says whether query i of batch b and head h sees key j. Query i
/// of N stands at position i + M − N, where M is the number of keys.

namespace reference {

using mask = std::function<bool(index b, index h, index i, index j)>;

/// Sees itself and what is before it; queries and keys aligned at their ends.
inline mask causal(index queries, index keys) {
    return [=](index, index, index i, index j) { return j <= i + keys - queries; };
}

/// Sees key j of j ≤ i, queries and keys aligned at their beginnings.
inline mask causal_from_start() {
    return [](index, index, index i, index j) { return j <= i; };
}

/// Sees the keys from `left` before its position to `right` after it.
inline mask sliding_window(index left, index right, index queries, index keys) {
    return [=](index, index, index i, index j) {
        const index position = i + keys - queries;
        return position - j <= left && j - position <= right;
    };
}

/// Batch b has lengths[b] keys; the others are padding.
inline mask key_lengths(std::vector<index> lengths) {
    return [=](index b, index, index, index j) { return j < lengths[static_cast<std::size_t>(b)]; };
}

/// Sees the keys of its own document. The ids are those of [batch, query] and [batch, key].
inline mask same_segment(std::vector<std::vector<index>> queries,
                         std::vector<std::vector<index>> keys) {
    return [=](index b, index, index i, index j) {
        const auto row = static_cast<std::size_t>(b);
        return queries[row][static_cast<std::size_t>(i)] == keys[row][static_cast<std::size_t>(j)];
    };
}

/// Sees what both see.
inline mask both(mask first, mask second) {
    return
        [=](index b, index h, index i, index j) { return first(b, h, i, j) && second(b, h, i, j); };
}

/// n_i: how many of the keys query i sees. No mask sees all.
inline index visible_count(const mask& visible, index keys, index b, index h, index i) {
    index count = 0;
    for (index j = 0; j < keys; ++j)
        if (!visible || visible(b, h, i, j)) ++count;
    return count;
}

}  // namespace reference
