#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <heed/attention/masks/anti_causal.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/global_window.hpp>
#include <heed/attention/masks/hwfa.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/parallel_contexts.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/masks/prefix_lm.hpp>
#include <heed/attention/masks/sliding_window.hpp>

#include "attention/masks/mask_checks.hpp"

namespace test_structured_masks {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed::key_interval;
using heed::visibility;
using heed_test::check_mask;
using heed_test::random_shape;
using heed_test::row_at;
using heed_test::wrong_tiles;

/// Where documents begin that fill `length` tokens, empty ones among them.
std::vector<index> random_offsets(index documents, index length, heed_test::generator& random) {
    std::vector<index> offsets{0};
    for (index d = 1; d < documents; ++d) offsets.push_back(random.integer(0, length));
    offsets.push_back(length);
    std::sort(offsets.begin(), offsets.end());
    return offsets;
}

TEST_CASE("anti-causal masks and prefixes are their definitions") {
    heed_test::generator random(51);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        check_mask(heed::anti_causal, shape, reference::anti_causal(shape.queries, shape.keys),
                   random);
        std::vector<index> prefixes;
        for (index b = 0; b < shape.batch; ++b) prefixes.push_back(random.integer(0, 45));
        check_mask(heed::prefix_lm(prefixes), shape,
                   reference::prefix_lm(prefixes, shape.queries, shape.keys), random);
        std::fill(prefixes.begin(), prefixes.end(), prefixes[0]);
        check_mask(heed::prefix_lm(prefixes[0]), shape,
                   reference::prefix_lm(prefixes, shape.queries, shape.keys), random);
    }
    STATIC_REQUIRE(heed::anti_causal_mask::by_position);
    STATIC_REQUIRE(decltype(heed::prefix_lm(3))::by_position);
}

TEST_CASE("a prefix without an end lets everything be seen") {
    constexpr auto endless = std::numeric_limits<std::uint64_t>::max();
    constexpr auto most = std::numeric_limits<index>::max();
    const reference::mask everything = [](index, index, index, index) { return true; };
    heed_test::generator random(58);
    for (int round = 0; round < 10; ++round) {
        const auto shape = random_shape(random);
        check_mask(heed::prefix_lm(endless), shape, everything, random);
        check_mask(heed::prefix_lm(endless / 2 + 1), shape, everything, random);
        check_mask(heed::prefix_lm(most), shape, everything, random);
        const std::vector<std::uint64_t> each(static_cast<std::size_t>(shape.batch), endless);
        check_mask(heed::prefix_lm(each), shape, everything, random);
        check_mask(heed::prefix_lm(std::vector<index>(each.size(), most)), shape, everything,
                   random);
        check_mask(heed::dilated_window(endless, most, 1), shape, everything, random);
        check_mask(heed::global_window(0, endless, endless), shape, everything, random);
        check_mask(heed::global_window(endless, 0, 0), shape, everything, random);
    }
    // Far out, where a sum with the greatest number would not fit.
    constexpr index far = (index(1) << 53) - 1;
    for (const index at : {-far, far}) {
        const heed::query_row row{.position = -at};
        const heed::key_lanes<double> key{0, 1, {at, heed::vec<double>(0)}};
        const auto sees = [&](const auto& mask) {
            return (mask.template on_row<double>(row)(key).bits() & 1) != 0;
        };
        CHECK(sees(heed::prefix_lm(most)));
        CHECK(sees(heed::dilated_window(endless, endless, 2)));
        CHECK(sees(heed::sliding_window(endless, most)));
        CHECK(sees(heed::global_window(0, most, endless)));
        CHECK(sees(heed::global_window(endless, 0, 0)));
    }
}

TEST_CASE("a dilated window is its definition, and skips what it does not meet") {
    heed_test::generator random(52);
    index told = 0;
    for (int round = 0; round < 60; ++round) {
        const auto shape = random_shape(random);
        const index left = random.integer(0, 8), right = random.integer(0, 8);
        const index dilation = random.integer(1, 9);
        INFO("left " << left << ", right " << right << ", dilation " << dilation);
        const auto mask = heed::dilated_window(left, right, dilation);
        const auto seen =
            reference::dilated_window(left, right, dilation, shape.queries, shape.keys);
        check_mask(mask, shape, seen, random);
        CHECK(wrong_tiles(mask, shape, seen, random, told) == 0);
        check_mask(
            heed::dilated_window(std::numeric_limits<index>::max(), right, 1), shape,
            reference::sliding_window(shape.queries + shape.keys, right, shape.queries, shape.keys),
            random);
    }
    CHECK(told > 0);
}

TEMPLATE_TEST_CASE("a dilated window is exact at any distance", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const index far = index(1) << 40;
    for (const index dilation : {1, 2, 3, 7, 1000, 8388607}) {
        const auto mask =
            heed::dilated_window(std::numeric_limits<index>::max(), index(0), dilation);
        const heed::query_row here{.position = far + 5};
        const auto row = mask.template on_row<T>(here);
        index wrong = 0;
        for (index first : {index(0), far / 3, far - 100, far - 10}) {
            const heed::key_lanes<T> keys{first, heed::vec<T>::size,
                                          heed::lanes<T>::consecutive(first)};
            const auto bits = row(keys).bits();
            for (index l = 0; l < heed::vec<T>::size; ++l) {
                const index apart = far + 5 - first - l;
                if (((bits >> l & 1) != 0) != (apart >= 0 && apart % dilation == 0)) ++wrong;
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("a window with global tokens is its definition") {
    heed_test::generator random(53);
    index told = 0;
    for (int round = 0; round < 60; ++round) {
        const auto shape = random_shape(random);
        const index globals = random.integer(0, 6);
        const index left = random.integer(0, 8), right = random.integer(0, 8);
        INFO("globals " << globals << ", left " << left << ", right " << right);
        const auto mask = heed::global_window(globals, left, right);
        const auto seen = reference::global_window(globals, left, right, shape.queries, shape.keys);
        check_mask(mask, shape, seen, random);
        CHECK(wrong_tiles(mask, shape, seen, random, told) == 0);

        std::vector<index> listed;  // some of them twice, some beyond the keys
        for (index e = random.integer(0, 5); e > 0; --e) listed.push_back(random.integer(0, 50));
        const auto of_list = heed::global_window(listed, left, right);
        const auto seen_of_list =
            reference::global_window(listed, left, right, shape.queries, shape.keys);
        check_mask(of_list, shape, seen_of_list, random);
        CHECK(wrong_tiles(of_list, shape, seen_of_list, random, told) == 0);
    }
    CHECK(told > 0);

    const heed::attention_shape shape{1, 1, 1, 64, 64, 4, 4};
    const auto mask = heed::global_window(4, 7, 0);
    const auto tile = [&](index i, index last, key_interval keys) {
        return mask.tile(row_at(shape, 0, 0, i), row_at(shape, 0, 0, last), keys);
    };
    CHECK(tile(40, 47, {16, 32}) == visibility::none);
    CHECK(tile(40, 47, {0, 16}) == visibility::mixed);
    CHECK(tile(40, 47, {0, 4}) == visibility::all);
    CHECK(tile(0, 3, {32, 64}) == visibility::all);
    CHECK(tile(40, 43, {36, 42}) == visibility::mixed);
    CHECK(tile(40, 43, {36, 41}) == visibility::all);
}

TEMPLATE_TEST_CASE("listed global tokens at positions of one's own", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const auto mask = heed::global_window(std::vector<int>{3, 1000}, 2, 0);
    const auto sees = [&](index query, index base, T offset) {
        const heed::query_row row{.position = query};
        const heed::key_lanes<T> keys{0, 1, {base, heed::vec<T>(offset)}};
        return (mask.template on_row<T>(row)(keys).bits() & 1) != 0;
    };
    CHECK(sees(500, 3, T(0)));
    CHECK(sees(500, 0, T(3.5)));
    CHECK(sees(500, 990, T(10)));
    CHECK(sees(500, 498, T(0.5)));
    CHECK(sees(1000, 7, T(0)));
    CHECK_FALSE(sees(500, 4, T(0)));
    CHECK_FALSE(sees(500, -3, T(0)));
    CHECK_FALSE(sees(500, 100000, T(0)));
}

TEST_CASE("cumulative lengths are their definition, and are read at once") {
    heed_test::generator random(54);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        const index documents = random.integer(1, 5);
        const auto of_queries = random_offsets(documents, shape.queries, random);
        auto of_keys = random_offsets(documents, shape.keys, random);
        const auto seen = reference::same_document(of_queries, of_keys);
        check_mask(heed::cumulative_lengths(of_queries, of_keys), shape, seen, random);
        if (shape.queries == shape.keys)
            check_mask(heed::cumulative_lengths(of_keys), shape,
                       reference::same_document(of_keys, of_keys), random);
        const std::vector<int> narrow(of_queries.begin(), of_queries.end());
        const auto mask = heed::cumulative_lengths(narrow, of_keys);
        std::fill(of_keys.begin(), of_keys.end(), -9);
        check_mask(mask, shape, seen, random);
    }
    STATIC_REQUIRE(!heed::cumulative_lengths_mask::by_position);
}

TEST_CASE("parallel contexts are their definition, whatever part of them the queries are") {
    heed_test::generator random(55);
    for (int round = 0; round < 60; ++round) {
        const auto shape = random_shape(random);
        auto offsets = random_offsets(random.integer(1, 4), random.integer(0, shape.keys), random);
        check_mask(heed::parallel_contexts(offsets), shape,
                   reference::parallel_contexts(offsets, shape.queries, shape.keys), random);
    }
    STATIC_REQUIRE(!heed::parallel_contexts_mask::by_position);
}

TEST_CASE("each head has its mask, in turn or as chosen") {
    heed_test::generator random(56);
    for (int round = 0; round < 40; ++round) {
        const auto shape = random_shape(random);
        const std::vector<reference::mask> masks{
            reference::causal(shape.queries, shape.keys),
            reference::anti_causal(shape.queries, shape.keys),
            reference::global_window(2, 3, 1, shape.queries, shape.keys)};
        std::vector<index> turns, chosen;
        for (index h = 0; h < shape.heads; ++h) {
            turns.push_back(h % 2);
            chosen.push_back(random.integer(0, 2));
        }
        const auto in_turn = heed::per_head_mask(heed::causal, heed::anti_causal);
        STATIC_REQUIRE(decltype(in_turn)::is_interval);
        check_mask(in_turn, shape, reference::per_head(turns, masks), random);

        const auto global = heed::global_window(2, 3, 1);
        const auto of_three = heed::per_head_mask(chosen, heed::causal, heed::anti_causal, global);
        STATIC_REQUIRE(!decltype(of_three)::is_interval);
        check_mask(of_three, shape, reference::per_head(chosen, masks), random);

        // Two of one type, and one without an interval.
        const auto windows =
            heed::per_head_mask(heed::sliding_window(2, 0), heed::sliding_window(0, 4));
        const auto window = [&](index left, index right) {
            return reference::sliding_window(left, right, shape.queries, shape.keys);
        };
        check_mask(windows, shape, reference::per_head(turns, {window(2, 0), window(0, 4)}),
                   random);
        check_mask(
            heed::per_head_mask(heed::mask([](auto, auto j) { return j % 3 == 1; }), heed::causal),
            shape,
            reference::per_head(
                turns, {[](index, index, index, index j) { return j % 3 == 1; }, masks[0]}),
            random);
    }
}

TEST_CASE("a mask per head goes by indices only if all of its masks do") {
    const std::vector<index> offsets{0, 3, 8};
    const auto contexts = heed::parallel_contexts(offsets);
    const auto documents = heed::cumulative_lengths(offsets);
    const auto by_index = heed::per_head_mask(contexts, documents);
    STATIC_REQUIRE(decltype(by_index)::is_interval);
    STATIC_REQUIRE(!decltype(by_index)::by_position);
    const auto mixed = heed::per_head_mask(heed::causal, documents);
    STATIC_REQUIRE(!decltype(mixed)::is_interval);
    STATIC_REQUIRE(decltype(mixed)::by_position);
    heed_test::generator random(57);
    const heed::attention_shape shape{1, 2, 2, 8, 8, 4, 4};
    check_mask(by_index, shape,
               reference::per_head({0, 1}, {reference::parallel_contexts(offsets, 8, 8),
                                            reference::same_document(offsets, offsets)}),
               random);
    check_mask(mixed, shape,
               reference::per_head(
                   {0, 1}, {reference::causal(8, 8), reference::same_document(offsets, offsets)}),
               random);
}

TEST_CASE("the windows of HWFA are the article's") {
    // (0.75·512 − 1)/23 = 16.65…
    CHECK(heed::hwfa_window(512, 24) == 17);
    CHECK(heed::hwfa_window(512, 24, 1.0) == 23);  // 511/23 = 22.2…
    CHECK(heed::hwfa_window(4, 2) == 3);
    CHECK(heed::hwfa_window(2, 12, 0.5) == 1);
    // The windows of the L − 1 layers reach over αN tokens, and narrower ones would reach less.
    for (const index layers : {2, 3, 12, 80})
        for (const index n : {2, 100, 1000}) {
            const auto w = heed::hwfa_window(n, layers);
            const double reach = 0.75 * static_cast<double>(n) - 1;
            CHECK(static_cast<double>((w - 1) * (layers - 1)) <= reach);
            CHECK(static_cast<double>(w * (layers - 1)) > reach);
        }
    CHECK_THROWS_WITH(heed::hwfa_window(512, 1),
                      "heed::hwfa_window: the number of layers is 1, but must be at least 2");
    CHECK_THROWS_WITH(heed::hwfa_window(512, 24, 1.5),
                      "heed::hwfa_window: alpha is 1.5, but must be above 0 and at most 1");
    CHECK_THROWS_WITH(heed::hwfa_window(1, 24, 0.5),
                      "heed::hwfa_window: the length of training is 1, but must be at least 2 and "
                      "at most 2^53");
    CHECK_THROWS_AS(heed::hwfa_window(std::numeric_limits<std::uint64_t>::max(), 2, 1.0),
                    heed::argument_error);
    CHECK(heed::hwfa_window(index(1) << 53, 2, 1.0) == index(1) << 53);
}

TEST_CASE("these masks refuse what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    const auto check_call = [&](const auto& mask) { mask.check(shape); };

    CHECK_THROWS_AS(heed::prefix_lm(-1), heed::argument_error);
    CHECK_THROWS_WITH(heed::prefix_lm(-1),
                      "heed::prefix_lm: the prefix is -1, but must be at least 0; one without an "
                      "end is heed::unlimited");
    CHECK_THROWS_WITH(check_call(heed::prefix_lm({1, -2})),
                      "heed::prefix_lm: the prefix is -2, but must be at least 0; one without an "
                      "end is heed::unlimited");
    CHECK_THROWS_AS(check_call(heed::prefix_lm({1})), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::prefix_lm({1})),
                      "heed::prefix_lm has 1 prefixes, but the batch has 2 sequences");

    CHECK_THROWS_WITH(heed::dilated_window(-1, 0, 2),
                      "heed::dilated_window: left is -1, but must be at least 0; one without an "
                      "end is heed::unlimited");
    CHECK_THROWS_WITH(heed::dilated_window(1, 0, 0),
                      "heed::dilated_window: the dilation is 0, but must lie between 1 and 2^23");
    CHECK_THROWS_AS(heed::dilated_window(1, 0, 1 << 24), heed::argument_error);
    CHECK_THROWS_WITH(heed::global_window(-3, 0, 2),
                      "heed::global_window: globals is -3, but must be at least 0; one without an "
                      "end is heed::unlimited");

    CHECK_THROWS_WITH(heed::global_window(std::vector<int>{3, -1}, 0, 2),
                      "heed::global_window: position 1 of the global tokens is -1, but must lie "
                      "between 0 and 2^31 - 1");

    using offsets = std::vector<int>;
    CHECK_NOTHROW(check_call(heed::cumulative_lengths(offsets{0, 2, 6}, offsets{0, 8, 8})));
    CHECK_THROWS_AS(heed::cumulative_lengths(offsets{}), heed::shape_error);
    CHECK_THROWS_WITH(heed::cumulative_lengths(offsets{1, 6}),
                      "heed::cumulative_lengths: the first offset is 1, but must be 0");
    CHECK_THROWS_WITH(heed::cumulative_lengths(offsets{0, 4, 3}),
                      "heed::cumulative_lengths: offset 2 is 3, but must be at least the one "
                      "before, 4");
    const std::vector<std::uint64_t> endless{0, std::numeric_limits<std::uint64_t>::max()};
    CHECK_THROWS_AS(check_call(heed::cumulative_lengths(endless)), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::parallel_contexts(endless)),
                      "heed::parallel_contexts: the contexts end at 9223372036854775807, but there "
                      "are 8 keys");
    CHECK_THROWS_WITH(heed::cumulative_lengths(offsets{0, 6}, offsets{0, 1, 8}),
                      "heed::cumulative_lengths has 1 documents of queries, but 2 of keys");
    CHECK_THROWS_WITH(check_call(heed::cumulative_lengths(offsets{0, 8})),
                      "heed::cumulative_lengths: the documents of queries end at 8, but there are "
                      "6 queries");
    CHECK_THROWS_AS(check_call(heed::cumulative_lengths(offsets{0, 6}, offsets{0, 7})),
                    heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::parallel_contexts(offsets{0, 9})),
                      "heed::parallel_contexts: the contexts end at 9, but there are 8 keys");

    const auto per_head = [](std::vector<int> chosen) {
        return heed::per_head_mask(std::move(chosen), heed::causal, heed::anti_causal);
    };
    CHECK_NOTHROW(check_call(per_head({0, 1, 1, 0})));
    CHECK_THROWS_AS(check_call(per_head({0, 1})), heed::shape_error);
    CHECK_THROWS_WITH(check_call(per_head({0, 1})),
                      "heed::per_head_mask chooses for 2 heads, but there are 4 query heads");
    CHECK_THROWS_WITH(check_call(per_head({0, 1, 2, 0})),
                      "heed::per_head_mask: the mask of head 2 is 2, but must lie between 0 and 1");
    CHECK_THROWS_AS(check_call(heed::per_head_mask(heed::key_lengths({9, 9}), heed::causal)),
                    heed::argument_error);
}

}  // namespace test_structured_masks
