#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/core/simd/integers.hpp>
#include <heed/core/tiles.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/caches/cache_check.hpp"
#include "reference/integer_dot.hpp"
#include "support/attention_kernels.hpp"
#include "support/refused.hpp"

/// \file
/// Attention over a cache of integers by exact sums of integers.

namespace test_integer_dot {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

reference::tensor as_reference(const tensor4<float>& x) {
    return to_reference(
        x, reference::tensor(x.dimension(0), x.dimension(1), x.dimension(2), x.dimension(3)));
}

heed::kv_cache<std::int8_t> make_cache(const tokens<float>& in) {
    auto options = in.options();
    options.arithmetic = heed::integer_dot;
    return heed::kv_cache<std::int8_t>(options);
}

TEST_CASE("products of pairs of integers are exact, and row by row the lanes are in their order") {
    constexpr index size = heed::vec<float>::size;
    generator random(9901);
    const auto integers = [&](auto& numbers, int most) {
        for (auto& x : numbers)
            x = static_cast<std::remove_reference_t<decltype(x)>>(random.integer(-most, most));
    };
    std::array<std::int8_t, 2 * size> above{}, below{};
    std::array<float, 2 * size> left{};
    bool exact = true;
    for (int round = 0; round < 20; ++round) {
        integers(above, 127);
        integers(below, 127);
        integers(left, 32767);
        for (const bool second : {false, true}) {
            const auto pairs = heed::detail::join_integers(
                heed::vec<float>::load(left.data()), heed::vec<float>::load(left.data() + size));
            const auto rows = heed::detail::join_integer_rows(above.data(), below.data(), second);
            auto sum = heed::vec<float>(0.0F);
            for (int twice = 0; twice < 2; ++twice)
                sum = heed::detail::multiply_integers(pairs, rows, sum);
            std::array<float, size> found{};
            heed::detail::floats_of_integers(sum).store(found.data());
            for (std::size_t l = 0; l < size; ++l) {
                const std::size_t at = l + (second ? size : 0);
                const auto a = static_cast<std::int64_t>(left[2 * l]);
                const auto b = static_cast<std::int64_t>(left[2 * l + 1]);
                exact =
                    exact && found[l] == static_cast<float>(2 * (a * above[at] + b * below[at]));
            }
        }
    }
    CHECK(exact);
}

TEST_CASE("integer_dot is as far from attention over what is stored as rounding takes it") {
    generator random(9902);
    for (const index n : {1, 31, 255, 257, 300}) {
        const tokens<float> in(random, 1, 4, random.one_of<index>({1, 2, 4}), n,
                               random.one_of<index>({1, 11, 64}),
                               random.one_of<index>({5, 33, 144}));
        auto cache = make_cache(in);
        cache.append(in.k, in.v);
        const auto kept = stored(cache, in);
        const index queries = std::min<index>(n, random.one_of<index>({1, 3, 40}));
        const auto q = rows_of(in.q, n - queries, queries);
        const auto o = as_reference(heed::attention(q, cache, heed::causal));
        const auto expected = reference::attention_over_integers(
            as_reference(q), as_reference(kept.k), as_reference(kept.v),
            heed::detail::key_block<float>);
        INFO("n " << n << ", dim " << q.dimension(3) << ", " << queries << " queries");
        bool near = true;
        reference::for_each_row(o, [&](index b, index h, index i) {
            for (index c = 0; c < o.columns(); ++c)
                near = near && std::abs(o(b, h, i, c) - expected.o(b, h, i, c)) <=
                                   expected.error(b, h, i, 0);
        });
        CHECK(near);
    }
}

TEST_CASE("integer_dot: any pieces, threads and heads of k have the same bits") {
    generator random(9903);
    Eigen::ThreadPool pool(3);
    const index strip = heed::detail::tiles.score_rows;
    for (const index kv_heads : {1, 4}) {
        const index n = random.one_of<index>({300, 521});
        const tokens<float> in(random, 2, 4, kv_heads, n, 13, 21);
        auto whole = make_cache(in);
        const auto expected = read_tokens(whole, in, 0, n);
        for (const std::vector<index>& sizes :
             {std::vector<index>{1}, {n / 2 + 1, 3}, {n / 2 + 1, strip}}) {
            auto cache = make_cache(in);
            check_pieces(cache, in, expected, sizes);
        }
        // Few queries of few heads, whose pages threads share, and all of them.
        for (const index queries : {index{1}, n})
            CHECK(are_same(heed::attention(rows_of(in.q, n - queries, queries), whole, heed::causal,
                                           always_on(pool)),
                           rows_of(expected, n - queries, queries)));
        const tokens<float> alone = in.sequence(1);
        auto own = make_cache(alone);
        CHECK(are_same(read_tokens(own, alone, 0, n), sequence_of(expected, 1)));
        // What was taken back leaves no trace beside an odd last key.
        own.truncate(0, n - 4 - n % 2);
        own.append(rows_of(alone.k, n - 4 - n % 2, 4 + n % 2),
                   rows_of(alone.v, n - 4 - n % 2, 4 + n % 2));
        CHECK(are_same(heed::attention(rows_of(alone.q, n - 1, 1), own, heed::causal),
                       rows_of(sequence_of(expected, 1), n - 1, 1)));
    }
}

TEST_CASE("integer_dot: sums of the largest integers at dims for which q has 16 bits, and fewer") {
    for (const index dim : {516, 517, 1000}) {
        tokens<float> in = [&] {
            generator random(9904);
            return tokens<float>(random, 1, 1, 1, 1, dim, 2);
        }();
        in.q.setConstant(1);
        in.k.setConstant(-1);
        auto cache = make_cache(in);
        cache.append(in.k, in.v);
        const auto [o, stats] = heed::attention_forward(in.q, cache);
        const double score = -std::sqrt(static_cast<double>(dim));
        INFO("dim " << dim);
        CHECK(std::abs(stats.log_sum_exp().data()[0] - score) < -1e-6 * score);
    }
}

TEST_CASE("integer_dot: a query that is not finite is NaN, and its neighbours are as they were") {
    generator random(9905);
    tokens<float> in(random, 1, 4, 2, 270, 8, 8);
    auto cache = make_cache(in);
    const auto expected = read_tokens(cache, in, 0, 270);
    in.q(0, 1, 269, 3) = std::numeric_limits<float>::infinity();
    in.q(0, 2, 260, 0) = std::numeric_limits<float>::quiet_NaN();
    for (const index queries : {1, 270}) {
        const auto o = heed::attention(rows_of(in.q, 270 - queries, queries), cache, heed::causal);
        bool good = true;
        for (index h = 0; h < 4; ++h)
            for (index i = 0; i < queries; ++i)
                for (index c = 0; c < 8; ++c) {
                    const index row = 270 - queries + i;
                    const bool is_nan = (h == 1 && row == 269) || (h == 2 && row == 260);
                    good = good && (is_nan ? std::isnan(o(0, h, i, c))
                                           : o(0, h, i, c) == expected(0, h, row, c));
                }
        CHECK(good);
    }
}

TEST_CASE("integer_dot: normalisers of whole rows compute in floats") {
    generator random(9906);
    const tokens<float> in(random, 1, 2, 1, 280, 8, 8);
    auto cache = make_cache(in);
    heed::kv_cache<std::int8_t> floats(in.options());
    CHECK(are_same(read_tokens(cache, in, 0, 280, heed::entmax15),
                   read_tokens(floats, in, 0, 280, heed::entmax15)));
}

TEST_CASE("integer_dot: a window's bits are those of a full cache under its mask") {
    generator random(9907);
    const tokens<float> in(random, 1, 2, 2, 600, 8, 8);
    auto options = in.options();
    options.arithmetic = heed::integer_dot;
    heed::kv_cache<std::int8_t> full(options);
    full.append(in.k, in.v);
    options.window = 40;
    heed::kv_cache<std::int8_t> window(options);
    bool same = true;
    const auto masked = heed::attention(in.q, full, heed::causal, heed::sliding_window(39, 0));
    for (index i = 0; i < 600; i += 25)
        same = same && are_same(read_tokens(window, in, i, 25), rows_of(masked, i, 25));
    CHECK(same);
}

TEST_CASE("what integer_dot does not take") {
    const std::string rest = "heed::kv_cache: arithmetic is integer_dot";
    check_refused<heed::argument_error>(rest + ", but only std::int8_t is made of integers", [] {
        heed::kv_cache<float> cache({.dim = 4, .arithmetic = heed::integer_dot});
    });
    const auto refuse = [&](heed::kv_cache_options options, const std::string& why,
                            const auto&... parts) {
        options.arithmetic = heed::integer_dot;
        check_refused<heed::argument_error>(
            rest + why, [&] { heed::kv_cache<std::int8_t> cache(options, parts...); });
    };
    refuse({.dim = 4, .key_scales = heed::per_channel},
           ", which takes key_scales per_key and no values_in_keys");
    refuse({.dim = 4, .values_in_keys = true},
           ", which takes key_scales per_key and no values_in_keys");
    refuse({.dim = 65537}, " and dim is 65537, but sums of 32 bits hold 65536 products at most");
    refuse({.dim = 8}, ", which takes no rectified encoding",
           heed::rectified_rotary(heed::rope::plain({.dim = 8}), 5));
}

}  // namespace test_integer_dot
