#include <cmath>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/rope/rotary.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_positions {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// A problem whose rows have an even number of dimensions, `pairs` of them rotated.
problem rotated_problem(generator& random, bool is_long) {
    extents e = is_long ? long_extents(random) : random_extents(random);
    e.dim = random.one_of<index>({2, 6, 8, 22, 32});
    return {random, e};
}

TEST_CASE("rotary positions, both layouts, all dimensions and some") {
    generator random(41);
    for (int round = 0; round < 8; ++round) {
        const problem from = rotated_problem(random, round >= 6);
        const index rotated =
            round % 2 == 0 ? from.sizes.dim : 2 * random.integer(1, from.sizes.dim / 2);
        const bool interleaved = round % 4 >= 2;
        INFO("rotated " << rotated << ", interleaved " << interleaved);
        const auto rope = heed::rope::plain(
            {.dim = rotated,
             .base = 500,
             .layout = interleaved ? heed::rope::interleaved : heed::rope::halves});
        reference::options how;
        how.rotary =
            reference::rotation{reference::plain_frequencies(rotated, 500), interleaved, 1};
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_all(random, from, how, heed::rotary(rope), heed::causal);

        // Norms come first, then the rotation, then the scale.
        how.normalise_queries = how.normalise_keys = true;
        how.scale = [](index, index, index) { return 3.0; };
        how.visible = nullptr;
        check_all(random, from, how, heed::cosine.scale(3), heed::rotary(rope));
    }
}

TEST_CASE("positions move masks, modifiers and rotations alike") {
    generator random(42);
    for (int round = 0; round < 6; ++round) {
        const problem from = rotated_problem(random, round >= 4);
        const extents& e = from.sizes;
        // Integers and fractions, far from 0 and in no order; one list a sequence for the keys.
        const double far = random.one_of({0.0, -50.0, 1e4});
        std::vector<double> of_queries;
        for (index i = 0; i < e.queries; ++i)
            of_queries.push_back(far + static_cast<double>(random.integer(0, 200)) / 4);
        Eigen::MatrixXd of_keys(e.batch, e.keys);
        for (index x = 0; x < of_keys.size(); ++x)
            of_keys.data()[x] = far + static_cast<double>(random.integer(0, 200)) / 4;
        const auto at = [&](index i) { return of_queries[static_cast<std::size_t>(i)]; };

        const std::vector<double> slopes(static_cast<std::size_t>(e.heads), 0.125);
        const auto rope = heed::rope::plain({.dim = e.dim, .base = 100});
        reference::options how;
        how.query_position = [&](index, index i) { return at(i); };
        how.key_position = [&](index b, index j) { return of_keys(b, j); };
        how.rotary = reference::rotation{reference::plain_frequencies(e.dim, 100), false, 1};
        how.modifiers = {{[&](double s, index b, index, index i, index j) {
                              return s - 0.125 * std::abs(at(i) - of_keys(b, j));
                          },
                          [](double, index, index, index, index) { return 1.0; }}};
        how.visible = [&](index b, index, index i, index j) {
            return of_keys(b, j) <= at(i) && at(i) - of_keys(b, j) <= 30;
        };
        check_all(random, from, how, heed::positions(of_queries, of_keys), heed::causal,
                  heed::sliding_window(30, 1000), heed::alibi(slopes), heed::rotary(rope));
    }
}

TEST_CASE("positions that say what is so without them change no bit") {
    generator random(43);
    for (int round = 0; round < 6; ++round) {
        extents e = round < 4 ? random_extents(random) : long_extents(random);
        e.dim = 8;
        const inputs<float> in(random, e);
        std::vector<int> queries, keys;
        for (index i = 0; i < e.queries; ++i)
            queries.push_back(static_cast<int>(i + e.keys - e.queries));
        for (index j = 0; j < e.keys; ++j) keys.push_back(static_cast<int>(j));
        const auto rope = heed::rope::plain({.dim = 8});
        const auto run = [&](const auto&... parts) {
            const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal,
                                                            heed::rotary(rope), parts...);
            auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                     heed::causal, heed::rotary(rope), parts...);
            return std::pair(o, gradient);
        };
        const auto [o, gradient] = run();
        const auto [same_o, same_gradient] = run(heed::positions(queries, keys));
        INFO(to_string(e));
        CHECK(same_bits(o, same_o));
        CHECK(same_bits(gradient.q, same_gradient.q));
        CHECK(same_bits(gradient.k, same_gradient.k));
        CHECK(same_bits(gradient.v, same_gradient.v));
    }
}

}  // namespace test_attention_positions
