#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/core/error.hpp>
#include <heed/core/tiles.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/caches/cache_check.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// Keys and values in 16 and 8 bits: rounded once, when they are appended; what is computed of them
/// has the bits of attention over what `read` gives.

namespace test_kv_cache_storage {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

const auto rope = heed::rope::plain({.dim = 8});

/// Any pieces have the bits of attention over tensors of what is stored.
template <class Storage, class... Parts>
void check_storage(generator& random, index n, const Parts&... parts) {
    tokens<float> in(random, 2, 4, random.one_of<index>({1, 2, 4}), n,
                     random.one_of<index>({8, 11, 24}), random.one_of<index>({5, 16, 33, 144}));
    INFO("n " << n << ", dim " << in.q.dimension(3));
    heed::kv_cache<Storage> whole(in.options(), heed::rotary(rope));
    whole.append(in.k, in.v);
    const auto rounded = stored(whole, in);
    // Of these keys the encoding is that of the queries alone.
    const auto turned = heed::rotate(in.q, rope);
    const auto expected = heed::attention(turned, rounded.k, rounded.v, heed::causal, parts...);
    // As few rows as are widened in registers, more of them, and so many that no tile joins heads.
    const index strip = heed::detail::tiles.score_rows;
    for (const std::vector<index>& sizes :
         {std::vector<index>{n}, {1}, {n / 2 + 1, 3}, {n / 2 + 1, strip}}) {
        heed::kv_cache<Storage> cache(in.options(), heed::rotary(rope));
        check_pieces(cache, in, expected, sizes, parts...);
    }
}

TEMPLATE_TEST_CASE("a compressed cache has the bits of tensors of what it stores", "",
                   Eigen::bfloat16, Eigen::half, std::int8_t) {
    generator random(9201);
    for (const index n : {1, 31, 255, 256, 257, 300}) check_storage<TestType>(random, n);
    check_storage<TestType>(random, 280, heed::entmax15);
}

TEST_CASE("what a cache stores is what it was given, to half a unit") {
    generator random(9202);
    tokens<float> in(random, 1, 1, 1, 40, 16, 16);
    in.k(0, 0, 3, 2) = 1e-41F;  // denormal
    in.v(0, 0, 4, 1) = 0;
    const auto error_of = [&](const auto& cache) {
        const auto kept = stored(cache, in);
        double largest = 0;
        for (const auto& [a, b] : {std::pair(&in.k, &kept.k), std::pair(&in.v, &kept.v)})
            for (index e = 0; e < a->size(); ++e)
                largest = std::max(largest, std::abs(double(a->data()[e]) - b->data()[e]) /
                                                std::abs(double(a->data()[e]) + 1e-4));
        return largest;
    };
    heed::kv_cache<float> floats(in.options());
    heed::kv_cache<Eigen::bfloat16> brains(in.options());
    heed::kv_cache<Eigen::half> halves(in.options());
    floats.append(in.k, in.v);
    brains.append(in.k, in.v);
    halves.append(in.k, in.v);
    CHECK(error_of(floats) == 0);
    CHECK(error_of(brains) <= 0x1p-8);
    CHECK(error_of(halves) <= 0x1p-11);
}

TEST_CASE("integers are the nearest multiples of a key's own scale, its largest number over 127") {
    generator random(9203);
    tokens<float> in(random, 1, 2, 2, 40, 16, 12);
    for (index c = 0; c < 16; ++c) in.k(0, 1, 7, c) = 0;  // a key of zeros
    for (index c = 0; c < 12; ++c) in.v(0, 0, 9, c) *= 1e-30F;
    heed::kv_cache<std::int8_t> cache(in.options());
    cache.append(in.k, in.v);
    const auto kept = stored(cache, in);
    bool good = true;
    const auto check_row = [&](const tensor4<float>& given, const tensor4<float>& read, index h,
                               index j) {
        float largest = 0;
        for (index c = 0; c < given.dimension(3); ++c)
            largest = std::max(largest, std::abs(given(0, h, j, c)));
        const float scale = largest / 127;
        for (index c = 0; c < given.dimension(3); ++c) {
            const float times = scale == 0 ? 0 : std::nearbyint(given(0, h, j, c) / scale);
            good = good && read(0, h, j, c) == scale * times &&
                   std::abs(read(0, h, j, c) - given(0, h, j, c)) <= 0.5001F * scale;
        }
    };
    for (index h = 0; h < 2; ++h)
        for (index j = 0; j < 40; ++j) {
            check_row(in.k, kept.k, h, j);
            check_row(in.v, kept.v, h, j);
        }
    CHECK(good);
}

TEMPLATE_TEST_CASE("tokens and queries of 16 bits are those of their floats, o rounded once", "",
                   Eigen::bfloat16, Eigen::half) {
    generator random(9206);
    const tokens<float> in(random, 2, 4, 2, 300, 8, 13);
    const auto narrow = [](const tensor4<float>& x) {
        return tensor4<TestType>(x.template cast<TestType>());
    };
    const auto widen = [](const tensor4<TestType>& x) {
        return tensor4<float>(x.template cast<float>());
    };
    const auto q = narrow(in.q), k = narrow(in.k), v = narrow(in.v);
    heed::kv_cache<TestType> given(in.options(), heed::rotary(rope));
    heed::kv_cache<TestType> wide(in.options(), heed::rotary(rope));
    given.append(k, v);
    wide.append(widen(k), widen(v));
    const auto [o, stats] = heed::attention_forward(q, given, heed::causal);
    const auto [wide_o, wide_stats] = heed::attention_forward(widen(q), wide, heed::causal);
    static_assert(std::is_same_v<decltype(stats), decltype(wide_stats)>);
    CHECK(are_same(widen(o), widen(narrow(wide_o))));
    CHECK(are_same(widen(heed::attention(q, given, heed::causal)), widen(o)));
    auto into = q;
    CHECK_THROWS_AS(heed::attention_into(into, q, given, heed::causal), heed::shape_error);
    CHECK_THROWS_AS(given.append(v, k), heed::shape_error);
    CHECK(given.length() == 300);
}

/// Root mean square of the difference of two outputs over that of the first.
double relative_error(const tensor4<float>& exact, const tensor4<float>& o) {
    double error = 0, size = 0;
    for (index e = 0; e < o.size(); ++e) {
        error += std::pow(double(o.data()[e]) - exact.data()[e], 2);
        size += std::pow(double(exact.data()[e]), 2);
    }
    return std::sqrt(error / size);
}

/// Tokens of which two channels of keys are ten times as large as the others.
tokens<float> with_large_channels(generator& random, index kv_heads, index n, index dim) {
    tokens<float> in(random, 1, 2 * kv_heads, kv_heads, n, dim, dim);
    for (index h = 0; h < kv_heads; ++h)
        for (index j = 0; j < n; ++j)
            for (const index c : {1, 5}) in.k(0, h, j, c) *= 10;
    return in;
}

TEST_CASE("integers with a factor a channel: any pieces, windows and tokens taken back") {
    generator random(9207);
    const index n = 600;
    const auto in = with_large_channels(random, 2, n, 11);
    auto options = in.options();
    options.key_scales = heed::per_channel;
    heed::kv_cache<std::int8_t> whole(options), by_key(in.options());
    whole.append(in.k, in.v);
    by_key.append(in.k, in.v);
    const auto kept = stored(whole, in), kept_by_key = stored(by_key, in);
    CHECK(are_same(rows_of(kept.k, 0, 32), rows_of(kept_by_key.k, 0, 32)));
    for (const index key : {32, 64, 128, 256})
        CHECK_FALSE(are_same(rows_of(kept.k, key, 10), rows_of(kept_by_key.k, key, 10)));

    const auto expected = heed::attention(in.q, kept.k, kept.v, heed::causal);
    const index strip = heed::detail::tiles.score_rows;
    for (const std::vector<index>& sizes :
         {std::vector<index>{n}, {1}, {n / 2 + 1, 3}, {n / 2 + 1, strip}}) {
        heed::kv_cache<std::int8_t> cache(options);
        check_pieces(cache, in, expected, sizes);
    }

    // What a window forgets is missed by nobody, and tokens that come again are stored alike.
    options.window = 1;
    options.rewind = 1;
    heed::kv_cache<std::int8_t> window(options);
    const auto alone = heed::attention(in.q, kept.k, kept.v, heed::sliding_window(0, 0));
    bool same = true;
    for (index i = 0; i < n; ++i) {
        same = same && are_same(read_tokens(window, in, i, 1), rows_of(alone, i, 1));
        if (i % 2 == 1) continue;
        window.truncate(0, i);
        same = same && are_same(read_tokens(window, in, i, 1), rows_of(alone, i, 1));
    }
    CHECK(same);
    CHECK_THROWS_AS(heed::kv_cache<float>(options), heed::argument_error);
}

TEST_CASE("a factor a channel makes up for large channels") {
    generator random(9208);
    const auto in = with_large_channels(random, 1, 4096, 64);
    const auto last = rows_of(in.q, 4032, 64);
    const auto exact = heed::attention(last, in.k, in.v);
    const auto error_of = [&](heed::key_scaling scaling) {
        auto options = in.options();
        options.key_scales = scaling;
        heed::kv_cache<std::int8_t> cache(options);
        cache.append(in.k, in.v);
        return relative_error(exact, heed::attention(last, cache));
    };
    const double by_key = error_of(heed::per_key), by_channel = error_of(heed::per_channel);
    INFO("by key " << by_key << ", by channel " << by_channel);
    CHECK(by_channel < 1.5e-2);
    CHECK(by_channel < by_key / 2);
}

TEST_CASE("a factor a channel takes no digits from numbers near the least there are") {
    generator random(9210);
    tokens<float> in(random, 1, 1, 1, 300, 8, 8);
    for (index e = 0; e < in.k.size(); ++e)
        in.k.data()[e] = static_cast<float>(random.uniform(-3e-38, 3e-38));
    auto options = in.options(300);
    options.key_scales = heed::per_channel;
    heed::kv_cache<std::int8_t> cache(options);
    cache.append(in.k, in.v);
    const auto out = stored(cache, in);
    double largest = 0;
    for (index e = 0; e < in.k.size(); ++e)
        largest = std::max(largest, std::abs(double(out.k.data()[e]) - in.k.data()[e]));
    CHECK(largest < 3e-38 / 127 * 0.6);
}

TEST_CASE("how far a compressed cache is from a float one") {
    generator random(9204);
    const tokens<float> in(random, 1, 2, 2, 4096, 64, 64);
    const auto last = rows_of(in.q, 4032, 64);
    const auto exact = heed::attention(last, in.k, in.v);
    const auto error_of = [&](auto cache) {
        cache.append(in.k, in.v);
        return relative_error(exact, heed::attention(last, cache));
    };
    CHECK(error_of(heed::kv_cache<Eigen::bfloat16>(in.options())) < 4e-3);
    CHECK(error_of(heed::kv_cache<Eigen::half>(in.options())) < 5e-4);
    CHECK(error_of(heed::kv_cache<std::int8_t>(in.options())) < 1.4e-2);
}

TEST_CASE("NaN and infinity are stored, and what a half cannot hold is one") {
    generator random(9205);
    tokens<float> in(random, 1, 1, 1, 5, 4, 4);
    in.k(0, 0, 1, 1) = std::numeric_limits<float>::quiet_NaN();
    in.v(0, 0, 2, 0) = -std::numeric_limits<float>::infinity();
    in.v(0, 0, 3, 0) = 1e6F;
    heed::kv_cache<Eigen::half> cache(in.options());
    cache.append(in.k, in.v);
    const auto kept = stored(cache, in);
    CHECK(std::isnan(kept.k(0, 0, 1, 1)));
    CHECK(kept.v(0, 0, 2, 0) == -std::numeric_limits<float>::infinity());
    CHECK(kept.v(0, 0, 3, 0) == std::numeric_limits<float>::infinity());
}

}  // namespace test_kv_cache_storage
