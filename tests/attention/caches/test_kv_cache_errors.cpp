#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "attention/caches/cache_check.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// What a cache refuses; and that it is then as it was.

namespace test_kv_cache_errors {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("options out of their range") {
    const auto make = [](heed::kv_cache_options options) { heed::kv_cache<float> cache(options); };
    const auto check = [&](heed::kv_cache_options options, const std::string& rest) {
        check_refused<heed::argument_error>("heed::kv_cache: " + rest, [&] { make(options); });
    };
    check({.batch = 0, .dim = 4}, "batch is 0, but must be at least 1");
    check({.kv_heads = -1, .dim = 4}, "kv_heads is -1, but must be at least 1");
    check({}, "dim is 0, but must be at least 1");
    check({.dim = 4, .value_dim = -1}, "value_dim is -1, but must be at least 0");
    check({.dim = 4, .capacity = 0}, "capacity is 0, but must be at least 1");
    check({.dim = 4, .window = 0}, "window is 0, but must be at least 1");
    check({.dim = 4, .keep_first = -2}, "keep_first is -2, but must be at least 0");
    check({.dim = 4, .rewind = -1}, "rewind is -1, but must be at least 0");
}

TEST_CASE("parts that do not suit the keys") {
    const auto rope = heed::rope::plain({.dim = 8});
    check_refused<heed::shape_error>(
        "the frequencies rotate 8 dimensions, but q and k have 6",
        [&] { heed::kv_cache<float> cache({.dim = 6}, heed::rotary(rope)); });
    const Eigen::MatrixXf bias = Eigen::MatrixXf::Zero(3, 8);
    check_refused<heed::shape_error>(
        "heed::key_bias has shape [3, 8], but must have 1 row or 2, one for each head of k, of 8",
        [&] { heed::kv_cache<float> cache({.kv_heads = 2, .dim = 8}, heed::key_bias(bias)); });
}

/// A cache of two sequences, and what is to stay as it is.
struct filled {
    generator random{9501};
    tokens<float> in{random, 2, 4, 2, 20, 8, 5};
    heed::kv_cache<float> cache{in.options()};

    filled() { cache.append(in.k, in.v); }

    template <class Error, class F>
    void check(const std::string& message, F&& f) {
        check_refused<Error>(message, f);
        CHECK(cache.length(0) == 20);
        CHECK(are_same(stored(cache, in).k, in.k));
        CHECK(are_same(stored(cache, in).v, in.v));
    }
};

TEST_CASE("tensors that do not fit the cache change nothing") {
    filled it;
    auto& [random, in, cache] = it;
    it.check<heed::shape_error>("k has shape [2, 3, 4, 8], but the cache takes [2, 2, 4, 8]", [&] {
        cache.append(random.tensor<float>(2, 3, 4, 8), random.tensor<float>(2, 3, 4, 5));
    });
    it.check<heed::shape_error>("v has shape [2, 2, 3, 5], but the cache takes [2, 2, 4, 5]", [&] {
        cache.append(random.tensor<float>(2, 2, 4, 8), random.tensor<float>(2, 2, 3, 5));
    });
    it.check<heed::shape_error>("k has shape [2, 2, 20, 8], but the cache takes [1, 2, 20, 8]",
                                [&] { cache.append(1, in.k, in.v); });
    it.check<heed::argument_error>("the sequence is 2, but must lie between 0 and 1",
                                   [&] { cache.append(2, in.k, in.v); });
    it.check<heed::shape_error>("there are 3 counts, but the cache has 2 sequences", [&] {
        cache.append(in.k, in.v, std::vector<int>{1, 2, 3});
    });
    it.check<heed::argument_error>(
        "the count of sequence 1 is 21, but must lie between 0 and the rows of k, 20", [&] {
            cache.append(in.k, in.v, std::vector<int>{1, 21});
        });
}

TEST_CASE("sequences, lengths and beams that there are not") {
    filled it;
    auto& cache = it.cache;
    it.check<heed::argument_error>(
        "truncate: the length is 21, but must lie between 0 and 20, the "
        "keys of sequence 0 that are kept",
        [&] { cache.truncate(0, 21); });
    it.check<heed::argument_error>(
        "truncate: the length is -1, but must lie between 0 and 20, the "
        "keys of sequence 1 that are kept",
        [&] { cache.truncate(1, -1); });
    it.check<heed::argument_error>("the sequence is -1, but must lie between 0 and 1",
                                   [&] { cache.clear(-1); });
    it.check<heed::argument_error>("the sequence is 7, but must lie between 0 and 1",
                                   [&] { static_cast<void>(cache.length(7)); });
    it.check<heed::argument_error>(
        "share_prefix: the length is 21, but must lie between 0 and 20, "
        "the keys of sequence 0 that are kept",
        [&] { cache.share_prefix(0, 1, 21); });
    it.check<heed::argument_error>("beam 1 is 2, but must be a sequence, 0 to 1", [&] {
        cache.reorder(std::vector<int>{0, 2});
    });
    it.check<heed::shape_error>("there are 1 beams, but the cache has 2 sequences",
                                [&] { cache.reorder(std::vector<int>{0}); });
    Eigen::MatrixXf k(3, 8), v(3, 5);
    it.check<heed::argument_error>("read: the head is 2, but must lie between 0 and 1",
                                   [&] { cache.read(0, 2, 0, 3, k, v); });
    it.check<heed::shape_error>("k has shape [3, 8], but must have [4, 8]",
                                [&] { cache.read(0, 1, 0, 4, k, v); });
    it.check<heed::argument_error>(
        "read: keys 18 to 20 of sequence 0 are not all kept: it has 20, and has forgotten those "
        "before 0 but for the first 0",
        [&] { cache.read(0, 1, 18, 3, k, v); });
}

TEST_CASE("queries that do not fit the cache write nothing") {
    filled it;
    auto& [random, in, cache] = it;
    tensor4<float> o(2, 4, 1, 5);
    o.setConstant(42);
    const auto untouched = [&] { return are_same(o, tensor4<float>(o.constant(42))); };
    const auto query = [&](index batch, index heads, index dim) {
        return random.tensor<float>(batch, heads, 1, dim);
    };
    check_refused<heed::shape_error>(
        "q has shape [3, 4, 1, 8], but the cache has 2 sequences of keys of 8 numbers",
        [&] { heed::attention_into(o, query(3, 4, 8), cache); });
    check_refused<heed::shape_error>(
        "q has shape [2, 4, 1, 7], but the cache has 2 sequences of keys of 8 numbers",
        [&] { heed::attention_into(o, query(2, 4, 7), cache); });
    check_refused<heed::shape_error>(
        "q has 3 heads and the cache has 2, but those of the cache must divide those of q",
        [&] { heed::attention_into(o, query(2, 3, 8), cache); });
    check_refused<heed::argument_error>(
        "the scale takes keys of length 1, but the cache was made without heed::key_norm",
        [&] { heed::attention_into(o, query(2, 4, 8), cache, heed::cosine); });
    tensor4<float> small(2, 4, 1, 4);
    check_refused<heed::shape_error>("o has shape [2, 4, 1, 4], but must have [2, 4, 1, 5]",
                                     [&] { heed::attention_into(small, query(2, 4, 8), cache); });
    CHECK(untouched());
}

TEST_CASE("a cache of integers takes finite numbers alone") {
    generator random(9502);
    tokens<float> in(random, 1, 2, 2, 3, 8, 5);
    heed::kv_cache<std::int8_t> cache(in.options());
    cache.append(in.k, in.v);
    in.v(0, 1, 2, 4) = std::numeric_limits<float>::infinity();
    check_refused<heed::argument_error>(
        "v is inf at [0, 1, 2, 4], but a cache of integers holds finite numbers",
        [&] { cache.append(in.k, in.v); });
    in.k(0, 0, 1, 0) = std::numeric_limits<float>::quiet_NaN();
    check_refused<heed::argument_error>(
        "k is nan at [0, 0, 1, 0], but a cache of integers holds finite numbers",
        [&] { cache.append(in.k, in.v); });
    CHECK(cache.length(0) == 3);
    cache.append(in.k, in.v, std::vector<int>{1});  // what is padding may be anything
    CHECK(cache.length(0) == 4);
}

}  // namespace test_kv_cache_errors
