#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/anti_causal.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/global_window.hpp>
#include <heed/attention/masks/parallel_contexts.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/masks/prefix_lm.hpp>
#include <heed/attention/positions.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

// What the masks say is tested beside; here, that the kernels see what they say.

namespace test_attention_structured_masks {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Where `count` documents begin, the last of which ends at `length`.
std::vector<index> random_offsets(index count, index length, generator& random) {
    std::vector<index> offsets{0, length};
    for (index d = 1; d < count; ++d) offsets.push_back(random.integer(0, length));
    std::sort(offsets.begin(), offsets.end());
    return offsets;
}

/// The masks that are intervals, with what they intersect: any of them in one kernel.
TEST_CASE("anti-causal, prefix, packed and parallel attention") {
    for_problems(61, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const std::vector<index> prefixes(static_cast<std::size_t>(e.batch),
                                          random.integer(0, e.keys));
        const auto of_queries = random_offsets(3, e.queries, random);
        const auto of_keys = random_offsets(3, e.keys, random);
        reference::options how;
        how.visible = reference::both(reference::prefix_lm(prefixes, e.queries, e.keys),
                                      reference::same_document(of_queries, of_keys));
        check_against_reference<float>(from, how, heed::prefix_lm(prefixes),
                                       heed::cumulative_lengths(of_queries, of_keys));

        const auto contexts = random_offsets(4, random.integer(0, e.keys), random);
        const index left = random.integer(0, e.keys);
        how.visible = reference::both(reference::parallel_contexts(contexts, e.queries, e.keys),
                                      reference::anti_causal(e.queries + left, e.keys));
        std::vector<index> query_positions(static_cast<std::size_t>(e.queries));
        std::vector<index> key_positions(static_cast<std::size_t>(e.keys));
        std::iota(query_positions.begin(), query_positions.end(), e.keys - e.queries - left);
        std::iota(key_positions.begin(), key_positions.end(), index(0));
        check_against_reference<double>(from, how, heed::parallel_contexts(contexts),
                                        heed::anti_causal,
                                        heed::positions(query_positions, key_positions));
    });
}

TEST_CASE("windows with gaps and global tokens") {
    for_problems(62, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index left = random.integer(0, 40), right = random.integer(0, 40);
        const index globals = random.integer(0, 20), dilation = random.integer(1, 40);
        INFO("left " << left << ", right " << right << ", globals " << globals << ", dilation "
                     << dilation);
        reference::options how;
        how.visible = reference::global_window(globals, left, right, e.queries, e.keys);
        check_all(random, from, how, heed::global_window(globals, left, right));
        how.visible = reference::dilated_window(left, right, dilation, e.queries, e.keys);
        check_against_reference<float>(from, how, heed::dilated_window(left, right, dilation));
    });
}

TEST_CASE("half the heads causal, half anti-causal") {
    for_problems(63, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        std::vector<index> turns;
        for (index h = 0; h < e.heads; ++h) turns.push_back(h % 2);
        reference::options how;
        how.visible = reference::per_head(turns, {reference::causal(e.queries, e.keys),
                                                  reference::anti_causal(e.queries, e.keys)});
        check_all(random, from, how, heed::per_head_mask(heed::causal, heed::anti_causal));

        how.visible =
            reference::per_head(turns, {reference::global_window(3, 9, 2, e.queries, e.keys),
                                        reference::causal(e.queries, e.keys)});
        check_against_reference<float>(
            from, how, heed::per_head_mask(heed::global_window(3, 9, 2), heed::causal));
    });
}

TEST_CASE("what these masks hide does not leak") {
    generator random(64);
    const extents e{1, 2, 2, 40, 300, 8, 5};
    const problem from(random, e);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto check = [&](const reference::mask& seen, const auto& mask) {
        const inputs<float> clean(from);
        inputs<float> spoilt(from);
        const index j = random.integer(100, 250);
        for (index h = 0; h < e.heads; ++h)
            for (index c = 0; c < 5; ++c) spoilt.k(0, h, j, c) = spoilt.v(0, h, j, c) = nan;
        const auto o = heed::attention(spoilt.q, spoilt.k, spoilt.v, mask);
        const auto expected = heed::attention(clean.q, clean.k, clean.v, mask);
        index wrong = 0;
        for_each_row(from.q, [&](index b, index h, index i) {
            for (index c = 0; c < e.value_dim; ++c) {
                const bool sees = seen(b, h, i, j);
                const float x = o(b, h, i, c);
                if (sees ? !std::isnan(x) : x != expected(b, h, i, c)) ++wrong;
            }
        });
        CHECK(wrong == 0);
    };
    const auto per_head = heed::per_head_mask(heed::causal, heed::dilated_window(40, 40, 3));
    const std::vector<reference::mask> masks{reference::causal(e.queries, e.keys),
                                             reference::dilated_window(40, 40, 3, 40, 300)};
    check(reference::per_head({0, 1}, masks), per_head);
    const std::vector<index> contexts{0, 130, 270};
    check(reference::parallel_contexts(contexts, e.queries, e.keys),
          heed::parallel_contexts(contexts));
    const auto global = reference::global_window(120, 60, 0, e.queries, e.keys);
    for (int round = 0; round < 5; ++round) check(global, heed::global_window(120, 60, 0));
}

}  // namespace test_attention_structured_masks
