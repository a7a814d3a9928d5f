#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include <heed/attention/part.hpp>

#include "support/random.hpp"

/// \file
/// Rows and keys for tests that ask a part directly, without the kernels.

namespace heed_test {

using heed::index;

/// Random extents of a call; queries and keys differ most of the time.
inline heed::attention_shape random_shape(generator& random) {
    heed::attention_shape shape;
    shape.batch = random.integer(1, 3);
    shape.kv_heads = random.integer(1, 2);
    shape.heads = shape.kv_heads * random.integer(1, 2);
    shape.queries = random.integer(1, 40);
    shape.keys = random.chance(0.3) ? shape.queries : random.integer(1, 40);
    shape.dim = shape.value_dim = 8;
    return shape;
}

/// Row (b, h, i), where it stands without heed::positions.
inline heed::query_row row_at(const heed::attention_shape& shape, index b, index h, index i) {
    return {.batch = b, .head = h, .query = i, .position = i + shape.keys - shape.queries};
}

/// The keys from `first` on, as many as a vector holds, where they stand without heed::positions.
template <class T>
heed::key_lanes<T> keys_at(const heed::attention_shape& shape, index first) {
    return {.first = first,
            .count = std::min(heed::vec<T>::size, shape.keys - first),
            .position = heed::lanes<T>::consecutive(first)};
}

/// Calls f(row) for every row of scores.
template <class F>
void for_each_row(const heed::attention_shape& shape, F f) {
    for (index b = 0; b < shape.batch; ++b)
        for (index h = 0; h < shape.heads; ++h)
            for (index i = 0; i < shape.queries; ++i) f(row_at(shape, b, h, i));
}

/// The lanes as numbers.
template <class T>
std::vector<T> numbers(heed::vec<T> v) {
    std::vector<T> result(static_cast<std::size_t>(heed::vec<T>::size));
    v.store(result.data());
    return result;
}

}  // namespace heed_test
