#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/global_window.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/caches/cache_check.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// A cache with a window has the bits of a full one under the same mask, and bounded memory.

namespace test_kv_cache_window {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

const auto rope = heed::rope::plain({.dim = 8});

heed::kv_cache_options options(index window, index keep_first, index rewind) {
    return {.kv_heads = 2,
            .dim = 8,
            .value_dim = 5,
            .capacity = 64,
            .window = window,
            .keep_first = keep_first,
            .rewind = rewind};
}

template <class... Parts>
void check_window(generator& random, index window, index keep_first, index n,
                  const std::vector<index>& sizes, const Parts&... parts) {
    INFO("window " << window << ", first " << keep_first << ", n " << n);
    const tokens<float> in(random, 1, 4, 2, n, 8, 5);
    const auto expected = heed::attention(in.q, in.k, in.v, heed::causal, heed::rotary(rope),
                                          heed::global_window(keep_first, window - 1, 0), parts...);
    heed::kv_cache<float> cache(options(window, keep_first, 0), heed::rotary(rope));
    check_pieces(cache, in, expected, sizes, parts...);
}

TEST_CASE("a window has the bits of a full cache under its mask, at every wrap") {
    generator random(9401);
    for (const index window : {1, 16, 255, 256, 257})
        for (const index keep_first : {0, 4, 256})
            check_window(random, window, keep_first, 800, {1});
    for (const std::vector<index>& sizes : {std::vector<index>{900}, {300, 1}, {37}, {1, 513, 2}})
        check_window(random, 200, 3, 900, sizes);
    check_window(random, 200, 3, 900, {450, 1}, heed::entmax15);
}

TEST_CASE("a window's memory does not grow") {
    generator random(9402);
    const tokens<float> in(random, 1, 2, 2, 1, 8, 5);
    heed::kv_cache<float> cache(options(300, 4, 8), heed::rotary(rope));
    for (index token = 0; token < 1200; ++token) cache.append(in.k, in.v);
    const auto bytes = cache.bytes();
    for (index token = 0; token < 3000; ++token) cache.append(in.k, in.v);
    CHECK(cache.bytes() == bytes);
    CHECK(cache.length(0) == 4200);
    CHECK(cache.first_kept(0) == 4200 - 300 - 8);
}

TEST_CASE("as many tokens as were said can be taken back with a full window") {
    generator random(9403);
    for (const index back : {1, 7, 16}) {
        const tokens<float> in(random, 1, 4, 2, 700, 8, 5);
        const auto expected = heed::attention(in.q, in.k, in.v, heed::causal, heed::rotary(rope),
                                              heed::sliding_window(255, 0));
        heed::kv_cache<float> cache(options(256, 0, 16), heed::rotary(rope));
        bool same = true;
        for (index first = 0; first + 20 <= 700; first += 20) {
            cache.append(rows_of(in.k, 650, back), rows_of(in.v, 650, back));  // wrong ones
            cache.truncate(0, first);
            same =
                same && are_same(read_tokens(cache, in, first, 20), rows_of(expected, first, 20));
        }
        CHECK(same);
    }
}

TEST_CASE("what a window has forgotten is not read") {
    generator random(9404);
    const tokens<float> in(random, 1, 2, 2, 900, 8, 5);
    heed::kv_cache<float> cache(options(100, 2, 0), heed::rotary(rope));
    for (index first = 0; first < 900; first += 100)
        cache.append(rows_of(in.k, first, 100), rows_of(in.v, first, 100));
    CHECK(cache.first_kept(0) == 701);
    Eigen::MatrixXf k(10, 8), v(10, 5);
    cache.read(0, 1, 701, 10, k, v);
    CHECK(v(3, 2) == in.v(0, 1, 704, 2));
    check_refused<heed::argument_error>(
        "read: keys 700 to 709 of sequence 0 are not all kept: it has 900, and has forgotten those "
        "before 701 but for the first 2",
        [&] { cache.read(0, 1, 700, 10, k, v); });
    check_refused<heed::argument_error>(
        "truncate: the length is 700, but must lie between 701 and 900, the keys of sequence 0 "
        "that are kept",
        [&] { cache.truncate(0, 700); });
    check_refused<heed::shape_error>(
        "q has 101 queries with a window of 100 keys each, but the cache has kept the last 199 "
        "keys of sequence 0",
        [&] { static_cast<void>(heed::attention(rows_of(in.q, 0, 101), cache)); });
    CHECK(heed::attention(rows_of(in.q, 0, 100), cache).size() == 1000);
}

}  // namespace test_kv_cache_window
