#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/positions.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/xpos.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_xpos {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Pairs of rows, in halves, times ξ_t^(sign·position).
reference::tensor stretch(reference::tensor x, const std::vector<double>& decays, double sign,
                          const reference::position_function& position) {
    const auto pairs = static_cast<index>(decays.size());
    for_each_row(x, [&](index b, index h, index i) {
        for (index t = 0; t < pairs; ++t) {
            const double factor =
                std::pow(decays[static_cast<std::size_t>(t)], sign * position(b, i));
            x(b, h, i, t) *= factor;
            x(b, h, i, t + pairs) *= factor;
        }
    });
    return x;
}

/// heed's XPOS is the reference's attention of rows that were rotated and stretched before.
template <class T, class... Parts>
void check_xpos(const problem& from, index rotated, const std::vector<double>& decays,
                const reference::position_function& query_position,
                const reference::position_function& key_position, const Parts&... parts) {
    const reference::rotation how{reference::plain_frequencies(rotated)};
    const auto q =
        stretch(reference::rotate(from.q, how, query_position), decays, 1, query_position);
    const auto k = stretch(reference::rotate(from.k, how, key_position), decays, -1, key_position);
    reference::options options;
    options.visible = reference::causal(from.sizes.queries, from.sizes.keys);
    const auto exact = attention_forward(q, k, from.v, options);
    auto bound = reference::forward_bounds<T>(exact, from.v, options).o;
    for (double& x : bound.values) x *= 2;  // rows are rounded once more

    const inputs<T> in(from);
    const auto o = heed::attention(in.q, in.k, in.v, parts...);
    check_within<T>("o", to_reference(o, exact.o), exact.o, bound);
}

TEST_CASE("XPOS rotates and stretches, in float and double") {
    for_problems(121, [](generator& random, const problem& drawn) {
        problem from = drawn;
        extents& e = from.sizes;
        e.dim = random.one_of<index>({8, 11});
        from.q = random_numbers(random, e.batch, e.heads, e.queries, e.dim);
        from.k = random_numbers(random, e.batch, e.kv_heads, e.keys, e.dim);
        const index rotated = 8, shift = e.keys - e.queries;
        const auto decays = heed::xpos_decays(rotated);
        const auto rope = heed::rope::plain({.dim = rotated});
        const auto query = [=](index, index i) { return static_cast<double>(i + shift); };
        const auto key = [](index, index j) { return static_cast<double>(j); };
        check_xpos<float>(from, rotated, decays, query, key, heed::xpos(rope, decays),
                          heed::causal);
        check_xpos<double>(from, rotated, decays, query, key, heed::xpos(rope, decays, 100),
                           heed::causal);

        inputs<double> in(from);
        check_differences(random, in, heed::xpos(rope, 0.99), heed::causal);
    });
}

TEST_CASE("the origin changes no score, and positions may be far out") {
    generator random(122);
    const problem from(random, {1, 1, 1, 20, 20, 8, 5});
    const auto rope = heed::rope::plain({.dim = 8});
    const auto decays = heed::xpos_decays(8);
    const inputs<double> in(from);
    std::vector<double> near, far;
    for (int i = 0; i < 20; ++i) {
        near.push_back(i);
        far.push_back(1e6 + i);
    }
    const auto attend = [&](const auto& where, double origin) {
        return heed::attention(in.q, in.k, in.v, heed::xpos(rope, decays, origin),
                               heed::positions(where), heed::causal);
    };
    const auto expected = attend(near, 0);
    const auto check = [&](const auto& o) {
        double largest = 0;
        for (index x = 0; x < o.size(); ++x)
            largest = std::max(largest, std::abs(o.data()[x] - expected.data()[x]));
        CHECK(largest < 1e-8);  // angles of a million radians
    };
    check(attend(near, 10));
    check(attend(far, 1e6));
}

TEST_CASE("without decay XPOS is rotary, to the bit") {
    generator random(123);
    const inputs<float> in(problem(random, {2, 4, 2, 30, 41, 24, 8}));
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 16, .layout = layout});
        CHECK(same_bits(heed::attention(in.q, in.k, in.v, heed::xpos(rope, 1)),
                        heed::attention(in.q, in.k, in.v, heed::rotary(rope))));
    }
}

TEST_CASE("the decays of XPOS are the paper's") {
    const auto decays = heed::xpos_decays(64);
    REQUIRE(decays.size() == 32);
    CHECK(std::pow(decays[0], 512) == Approx(0.4 / 1.4));
    CHECK(std::pow(decays[16], 512) == Approx(0.9 / 1.4));
    CHECK(std::pow(heed::xpos_decays(4, 1.0, 100)[1], 100) == Approx(0.75));
}

TEST_CASE("XPOS refuses what does not fit") {
    const auto rope = heed::rope::plain({.dim = 8});
    CHECK_THROWS_AS(heed::xpos(rope, 1.5), heed::argument_error);
    CHECK_THROWS_WITH(heed::xpos(rope, 0),
                      "heed::xpos: a decay is 0, but must be above 0 and at most 1");
    CHECK_THROWS_AS(heed::xpos(rope, 1, std::numeric_limits<double>::infinity()),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::xpos(rope, std::vector<double>{1}), heed::shape_error);
    CHECK_THROWS_WITH(heed::xpos(rope, std::vector<double>{1}),
                      "heed::xpos has 1 decays, but the frequencies turn 4 pairs");
    CHECK_THROWS_WITH(heed::xpos(rope, 1).check({1, 1, 1, 2, 2, 6, 6}),
                      "the frequencies rotate 8 dimensions, but q and k have 6");
    CHECK_THROWS_WITH(heed::xpos_decays(5),
                      "heed::xpos_decays: the number of dimensions is 5, but must be even, at "
                      "least 2 and at most 2^24");
    CHECK_THROWS_AS(heed::xpos_decays(std::numeric_limits<std::uint64_t>::max() - 1),
                    heed::argument_error);
    CHECK(heed::xpos_decays(std::int8_t(126)).size() == 63);
    CHECK_THROWS_AS(heed::xpos_decays(8, 0.0), heed::argument_error);
    CHECK_THROWS_AS(heed::xpos_decays(8, 0.4, -1.0), heed::argument_error);
}

}  // namespace test_xpos
