#pragma once

#include <cstddef>
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

/// Sees itself and what is behind it.
inline mask anti_causal(index queries, index keys) {
    return [=](index, index, index i, index j) { return j >= i + keys - queries; };
}

/// Batch b sees its first prefixes[b] keys, and what is not behind its own position.
inline mask prefix_lm(std::vector<index> prefixes, index queries, index keys) {
    return [=](index b, index, index i, index j) {
        return j < prefixes[static_cast<std::size_t>(b)] || j <= i + keys - queries;
    };
}

/// Sees the keys at i − j = m·dilation, −right ≤ m ≤ left.
inline mask dilated_window(index left, index right, index dilation, index queries, index keys) {
    return [=](index, index, index i, index j) {
        for (index m = -right; m <= left; ++m)
            if (i + keys - queries - j == m * dilation) return true;
        return false;
    };
}

/// A window, and global positions, which see all and are seen by all.
inline mask global_window(std::vector<index> globals, index left, index right, index queries,
                          index keys) {
    const mask near = sliding_window(left, right, queries, keys);
    return [=](index b, index h, index i, index j) {
        for (const index global : globals)
            if (i + keys - queries == global || j == global) return true;
        return near(b, h, i, j);
    };
}

/// The same of the first positions.
inline mask global_window(index globals, index left, index right, index queries, index keys) {
    std::vector<index> first;
    for (index position = 0; position < globals; ++position) first.push_back(position);
    return global_window(first, left, right, queries, keys);
}

/// Sees the keys of its own document; documents begin at these tokens, and end where the next
/// begins.
inline mask same_document(std::vector<index> of_queries, std::vector<index> of_keys) {
    return [=](index, index, index i, index j) {
        for (std::size_t d = 0; d + 1 < of_keys.size(); ++d)
            if (of_queries[d] <= i && i < of_queries[d + 1])
                if (of_keys[d] <= j && j < of_keys[d + 1]) return true;
        return false;
    };
}

/// Each context sees itself causally, the tokens behind them see all before them (kexue 9617).
inline mask parallel_contexts(std::vector<index> offsets, index queries, index keys) {
    return [=](index, index, index i, index j) {
        const index own = i + keys - queries;
        if (j > own) return false;
        for (std::size_t c = 0; c + 1 < offsets.size(); ++c)
            if (offsets[c] <= own && own < offsets[c + 1]) return j >= offsets[c];
        return true;
    };
}

/// Head h has mask chosen[h].
inline mask per_head(std::vector<index> chosen, std::vector<mask> masks) {
    return [=](index b, index h, index i, index j) {
        return masks[static_cast<std::size_t>(chosen[static_cast<std::size_t>(h)])](b, h, i, j);
    };
}

/// Batch b has lengths[b] keys; the others are padding.
inline mask key_lengths(std::vector<index> lengths) {
    return [=](index b, index, index, index j) { return j < lengths[static_cast<std::size_t>(b)]; };
}

/// Batch b has lengths[b] keys and no more, `of(n)` is the mask of n keys: queries at its own end.
inline mask at_own_ends(std::vector<index> lengths, const std::function<mask(index keys)>& of) {
    std::vector<mask> masks;
    for (const index length : lengths) masks.push_back(of(length));
    return [=](index b, index h, index i, index j) {
        const auto row = static_cast<std::size_t>(b);
        return j < lengths[row] && masks[row](b, h, i, j);
    };
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
