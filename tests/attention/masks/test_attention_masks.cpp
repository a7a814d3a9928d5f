#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/segments.hpp>
#include <heed/attention/masks/sliding_window.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_masks {

using namespace heed_test;

using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("plain attention") {
    for_problems(1, [](generator& random, const problem& from) { check_all(random, from, {}); });
}

TEST_CASE("causal attention, both alignments") {
    for_problems(2, [](generator& random, const problem& from) {
        reference::options how;
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_all(random, from, how, heed::causal);
        how.visible = reference::causal_from_start();
        check_all(random, from, how, heed::causal.top_left());
    });
}

TEST_CASE("a sliding window") {
    for_problems(3, [](generator& random, const problem& from) {
        const index left = random.one_of<index>({0, 1, 5, 40, 600});
        const index right = random.one_of<index>({0, 2, 33});
        INFO("left " << left << ", right " << right);
        reference::options how;
        how.visible = reference::sliding_window(left, right, from.sizes.queries, from.sizes.keys);
        check_all(random, from, how, heed::sliding_window(left, right));
    });
}

TEST_CASE("key lengths, none and all among them") {
    for_problems(4, [](generator& random, const problem& from) {
        std::vector<index> lengths;
        for (index b = 0; b < from.sizes.batch; ++b)
            lengths.push_back(random.chance(0.2) ? 0 : random.integer(0, from.sizes.keys));
        reference::options how;
        how.visible = reference::key_lengths(lengths);
        check_all(random, from, how, heed::key_lengths(lengths));
    });
}

TEST_CASE("packed documents") {
    for_problems(5, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const bool runs = random.chance(0.5);
        const auto ids = [&](index length) {
            Eigen::Matrix<int, -1, -1, Eigen::RowMajor> result(e.batch, length);
            for (index b = 0; b < e.batch; ++b) {
                int id = 0;
                for (index j = 0; j < length; ++j) {
                    id = runs ? id + (random.chance(0.1) ? 1 : 0)
                              : static_cast<int>(random.integer(0, 3));
                    result(b, j) = id;
                }
            }
            return result;
        };
        const auto queries = ids(e.queries), keys = ids(e.keys);
        reference::options how;
        how.visible = [&](index b, index, index i, index j) { return queries(b, i) == keys(b, j); };
        check_all(random, from, how, heed::segments(queries, keys));
    });
}

TEST_CASE("a boolean mask, broadcast or whole") {
    for_problems(6, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const auto or_one = [&](index extent) { return random.chance(0.3) ? 1 : extent; };
        Eigen::Tensor<bool, 4, Eigen::RowMajor> seen(or_one(e.batch), or_one(e.heads),
                                                     or_one(e.queries), or_one(e.keys));
        const double density = random.one_of({0.02, 0.5, 0.98});
        for (index x = 0; x < seen.size(); ++x) seen.data()[x] = random.chance(density);
        reference::options how;
        how.visible = [&](index b, index h, index i, index j) {
            return seen(seen.dimension(0) == 1 ? 0 : b, seen.dimension(1) == 1 ? 0 : h,
                        seen.dimension(2) == 1 ? 0 : i, seen.dimension(3) == 1 ? 0 : j);
        };
        check_all(random, from, how, heed::boolean_mask(seen));
    });
}

TEST_CASE("the user's masks: on lanes, with a tile function, on numbers") {
    for_problems(7, [](generator& random, const problem& from) {
        const index shift = from.sizes.keys - from.sizes.queries;
        reference::options how;
        how.visible = [=](index, index, index i, index j) {
            return j <= i + shift && (i + shift - j) % 3 != 1;
        };
        check_all(random, from, how,
                  heed::mask([](auto i, auto j) { return (j <= i) & ((i - j) % 3 != 1); }));

        // Blocks of 16 keys that only queries of the same block, or of even ones, see.
        how.visible = [=](index, index, index i, index j) {
            const index block = (i + shift + 1024) / 16 - 64;
            return block == j / 16 || block % 2 == 0;
        };
        const auto tile = [](index i, index last_i, index j, index last_j) {
            const index block = (i + 1024) / 16 - 64, last_block = (last_i + 1024) / 16 - 64;
            const index key = j / 16, last_key = last_j / 16;
            if (block != last_block || key != last_key) return heed::visibility::mixed;
            return block == key || block % 2 == 0 ? heed::visibility::all : heed::visibility::none;
        };
        check_all(random, from, how,
                  heed::mask(
                      [](auto i, auto j) {
                          const auto block = (i + 1024) / 16 - 64;
                          return (block == j / 16) | (block % 2 == 0);
                      },
                      tile));

        how.visible = [=](index b, index h, index i, index j) {
            return (3 * b + 5 * h + 7 * (i + shift) + 11 * j) % 4 != 0;
        };
        check_all(random, from, how,
                  heed::mask(heed::scalar([](index b, index h, index i, index j) {
                      return (3 * b + 5 * h + 7 * i + 11 * j) % 4 != 0;
                  })));
    });
}

TEST_CASE("masks intersect") {
    for_problems(8, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        std::vector<index> lengths;
        for (index b = 0; b < e.batch; ++b) lengths.push_back(random.integer(0, e.keys));
        reference::options how;
        using reference::both;
        how.visible = both(reference::at_own_ends(
                               lengths,
                               [&](index keys) {
                                   return both(reference::causal(e.queries, keys),
                                               reference::sliding_window(20, 3, e.queries, keys));
                               }),
                           [](index, index, index, index j) { return j % 5 != 2; });
        check_all(random, from, how, heed::mask([](auto, auto j) { return j % 5 != 2; }),
                  heed::causal, heed::cache_lengths(lengths), heed::sliding_window(20, 3));
    });
}

}  // namespace test_attention_masks
