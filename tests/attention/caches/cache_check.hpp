#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/masks/causal.hpp>

#include "attention/problem.hpp"
#include "support/catch.hpp"

/// \file
/// Sequences that are put into a cache in pieces.

namespace heed_test {

/// Rows first … first + count − 1 of each sequence.
template <class T>
tensor4<T> rows_of(const tensor4<T>& x, index first, index count) {
    tensor4<T> some(x.dimension(0), x.dimension(1), count, x.dimension(3));
    for (index b = 0; b < some.dimension(0); ++b)
        for (index h = 0; h < some.dimension(1); ++h)
            for (index i = 0; i < count; ++i)
                for (index c = 0; c < some.dimension(3); ++c)
                    some(b, h, i, c) = x(b, h, first + i, c);
    return some;
}
/// One sequence of a batch.
template <class T>
tensor4<T> sequence_of(const tensor4<T>& x, index batch) {
    tensor4<T> one(1, x.dimension(1), x.dimension(2), x.dimension(3));
    const index size = one.size();
    std::copy_n(x.data() + batch * size, size, one.data());
    return one;
}

/// The same shape, and the same bits.
template <class T>
bool are_same(const tensor4<T>& a, const tensor4<T>& b) {
    return a.dimensions() == b.dimensions() && same_bits(a, b);
}

/// Queries, keys and values of n tokens.
template <class T>
struct tokens {
    tensor4<T> q, k, v;

    tokens(generator& random, index batch, index heads, index kv_heads, index n, index dim,
           index value_dim)
        : q(random.tensor<T>(batch, heads, n, dim)),
          k(random.tensor<T>(batch, kv_heads, n, dim)),
          v(random.tensor<T>(batch, kv_heads, n, value_dim)) {}

    index batch() const { return q.dimension(0); }
    index count() const { return q.dimension(2); }
    /// The options of a cache for them.
    heed::kv_cache_options options(index capacity = 1) const {
        return {.batch = q.dimension(0),
                .kv_heads = k.dimension(1),
                .dim = k.dimension(3),
                .value_dim = v.dimension(3),
                .capacity = capacity};
    }
    tokens sequence(index batch) const {
        tokens one = *this;
        one.q = sequence_of(q, batch);
        one.k = sequence_of(k, batch);
        one.v = sequence_of(v, batch);
        return one;
    }
};

/// Appends tokens first … first + count − 1 and attends to all that is cached.
template <class Storage, class T, class... Parts>
tensor4<T> read_tokens(heed::kv_cache<Storage>& cache, const tokens<T>& in, index first,
                       index count, const Parts&... parts) {
    cache.append(rows_of(in.k, first, count), rows_of(in.v, first, count));
    return heed::attention(rows_of(in.q, first, count), cache, heed::causal, parts...);
}

/// All tokens through an empty cache in pieces of these sizes, the last one repeated, give the rows
/// of `expected`.
template <class Storage, class T, class... Parts>
void check_pieces(heed::kv_cache<Storage>& cache, const tokens<T>& in, const tensor4<T>& expected,
                  const std::vector<index>& sizes, const Parts&... parts) {
    bool same = true;
    std::size_t piece = 0;
    for (index first = 0; first < in.count(); ++piece) {
        const index size = sizes[std::min(piece, sizes.size() - 1)];
        const index count = std::min(size, in.count() - first);
        const auto o = read_tokens(cache, in, first, count, parts...);
        same = same && are_same(o, rows_of(expected, first, count));
        first += count;
    }
    INFO("pieces of " << sizes.front() << ", " << sizes.back());
    CHECK(same);
}

/// All of a sequence that a cache holds, as it is stored.
template <class Storage, class T = heed::computed_scalar<Storage>>
tokens<T> stored(const heed::kv_cache<Storage>& cache, const tokens<T>& in) {
    using rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    tokens<T> out = in;
    for (index b = 0; b < cache.batch(); ++b)
        for (index h = 0; h < cache.kv_heads(); ++h) {
            rows k(cache.length(b), cache.dim()), v(cache.length(b), cache.value_dim());
            cache.read(b, h, 0, cache.length(b), k, v);
            for (index j = 0; j < cache.length(b); ++j) {
                for (index c = 0; c < cache.dim(); ++c) out.k(b, h, j, c) = k(j, c);
                for (index c = 0; c < cache.value_dim(); ++c) out.v(b, h, j, c) = v(j, c);
            }
        }
    return out;
}

}  // namespace heed_test
