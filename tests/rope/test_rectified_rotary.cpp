#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "attention/reference_check.hpp"
#include "reference/accuracy.hpp"
#include "reference/sparse.hpp"
#include "rope/rectified_score.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_rectified_rotary {

using namespace heed_test;
using namespace rectified_test;
using heed::index;

/// Forward is the reference's, in float and double; backward in double is the slope of forward, and
/// in float what it is in double.
template <class... Parts>
void check_rectified(generator& random, const problem& from, const reference::options& how,
                     const Parts&... parts) {
    INFO(to_string(from.sizes));
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const inputs<float> in32(from);
    inputs<double> in(from);
    const auto [o32, stats32] = heed::attention_forward(in32.q, in32.k, in32.v, parts...);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    auto bound32 = reference::forward_bounds<float>(exact, from.v, how).o;
    auto bound = reference::forward_bounds<double>(exact, from.v, how).o;
    multiply(bound32, 4);  // rotations round, and mix what the bound keeps apart
    multiply(bound, 4);
    check_within<float>("o in float", to_reference(o32, exact.o), exact.o, bound32);
    check_within<double>("o in double", to_reference(o, exact.o), exact.o, bound);

    const auto gradient32 =
        heed::attention_backward(in32.d_o, o32, stats32, in32.q, in32.k, in32.v, parts...);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    const auto loss = [&] {
        const auto at = heed::attention(in.q, in.k, in.v, parts...);
        double sum = 0;
        for (index e = 0; e < at.size(); ++e) sum += at.data()[e] * in.d_o.data()[e];
        return sum;
    };
    const double largest = largest_of(gradient);
    check_slopes("dq by differences", random, 8, in.q, gradient.q, loss, largest);
    check_slopes("dk by differences", random, 8, in.k, gradient.k, loss, largest);
    check_slopes("dv by differences", random, 8, in.v, gradient.v, loss, largest);
    const auto near = [&](const tensor4<float>& a, const tensor4<double>& b) {
        double error = 0;
        for (index e = 0; e < b.size(); ++e)
            error = std::fmax(error, std::abs(static_cast<double>(a.data()[e]) - b.data()[e]));
        CHECK(error <= 1e-4 * std::max(largest, 1.0));
    };
    near(gradient32.q, gradient.q);
    near(gradient32.k, gradient.k);
    near(gradient32.v, gradient.v);
}

/// A drawn problem with at least 8 dimensions, all of them rotated or all but the last.
problem rotatable(generator& random, const problem& drawn) {
    extents e = drawn.sizes;
    e.dim = random.one_of<index>({8, 9, 16});
    return problem(random, e);
}

TEST_CASE("rectified positions: the reference's scores, with a causal mask and without") {
    for_problems(131, [](generator& random, const problem& drawn) {
        const problem from = rotatable(random, drawn);
        const extents& e = from.sizes;
        const reference::rotation turned{reference::plain_frequencies(e.dim / 2 * 2)};
        const index rotated = e.dim / 2 * 2, window = random.one_of<index>({1, 3, 20, 70, 200});
        const auto rope = heed::rope::plain({.dim = rotated});
        const auto queries = consecutive(e.keys - e.queries), keys = consecutive(0);
        const auto w = static_cast<double>(window);
        INFO("window " << window);

        reference::options how;
        how.modifiers = {rotated_score(from, leaky(w, 0), turned, queries, keys)};
        check_rectified(random, from, how, heed::rectified_rotary(rope, window));
        how.visible = reference::causal(e.queries, e.keys);
        check_rectified(random, from, how, heed::rectified_rotary(rope, window), heed::causal);
        how.modifiers = {rotated_score(from, leaky(w, 1 / 3.0), turned, queries, keys),
                         reference::soft_cap(2)};
        check_rectified(random, from, how, heed::leaky_rectified_rotary(rope, window, 3),
                        heed::soft_cap(2), heed::causal);
        how.modifiers = {rotated_score(from, leaky(w, 4), turned, queries, keys)};
        check_rectified(random, from, how, heed::leaky_rectified_rotary(rope, window, 0.25),
                        heed::causal);
        how.visible = {};
        how.modifiers = {rotated_score(from, grouped(w, 5), turned, queries, keys)};
        check_rectified(random, from, how, heed::grouped_rotary(rope, window, 5));
    });
}

TEST_CASE("rectified positions at positions of one's own, in any order") {
    for_problems(132, [](generator& random, const problem& drawn) {
        const problem from = rotatable(random, drawn);
        const extents& e = from.sizes;
        const reference::rotation turned{reference::plain_frequencies(e.dim / 2 * 2)};
        const index rotated = e.dim / 2 * 2, window = random.one_of<index>({2, 15, 60});
        const auto rope = heed::rope::plain({.dim = rotated});
        std::vector<double> queries, keys;
        for (index i = 0; i < e.queries; ++i)
            queries.push_back(0.25 * static_cast<double>(random.integer(0, 600)));
        for (index j = 0; j < e.keys; ++j)
            keys.push_back(0.25 * static_cast<double>(random.integer(0, 600)));
        const auto at = [](const std::vector<double>& where) {
            return [where](index, index i) { return where[static_cast<std::size_t>(i)]; };
        };
        reference::options how;
        how.modifiers = {rotated_score(from, leaky(static_cast<double>(window), 0.5), turned,
                                       at(queries), at(keys))};
        check_rectified(random, from, how, heed::leaky_rectified_rotary(rope, window, 2),
                        heed::positions(queries, keys));
    });
}

TEST_CASE("rectified positions under entmax: few keys of a row, and all of them") {
    for_problems(133, [](generator& random, const problem& drawn) {
        problem from = rotatable(random, drawn);
        const extents& e = from.sizes;
        // Scores far apart leave few keys, which backward finds again by their places.
        if (random.chance(0.5)) multiply(from.q, 8);
        const reference::rotation turned{reference::plain_frequencies(e.dim / 2 * 2)};
        const index rotated = e.dim / 2 * 2, window = random.one_of<index>({3, 20, 70});
        const auto rope = heed::rope::plain({.dim = rotated});
        reference::options how;
        how.normaliser = reference::row_normaliser{
            [](const reference::row& x) { return reference::entmax15(x); }, {}};
        how.visible = reference::causal(e.queries, e.keys);
        how.modifiers = {rotated_score(from, leaky(static_cast<double>(window), 0), turned,
                                       consecutive(e.keys - e.queries), consecutive(0))};
        const inputs<double> in(from);
        const auto exact = attention_forward(from.q, from.k, from.v, how);
        const auto part = heed::rectified_rotary(rope, window);
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, part, heed::causal, heed::entmax15);
        double error = 0;
        for (index x = 0; x < o.size(); ++x)
            error = std::fmax(error,
                              std::abs(o.data()[x] - exact.o.values[static_cast<std::size_t>(x)]));
        CHECK(error < 1e-9);
        // By the support and by whole rows: the same gradients.
        const auto by_support = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part,
                                                         heed::causal, heed::entmax15);
        const auto capped = heed::attention_forward(
            in.q, in.k, in.v, part, heed::causal, heed::entmax15,
            heed::learn(heed::alibi(std::vector<double>(static_cast<std::size_t>(e.heads), 0.0))));
        const auto& [same_o, same_stats] = capped;
        const auto by_rows = heed::attention_backward(
            in.d_o, same_o, same_stats, in.q, in.k, in.v, part, heed::causal, heed::entmax15,
            heed::learn(heed::alibi(std::vector<double>(static_cast<std::size_t>(e.heads), 0.0))));
        const double largest = largest_of(by_support);
        const auto check = [&](const tensor4<double>& a, const tensor4<double>& b) {
            double off = 0;
            for (index x = 0; x < a.size(); ++x)
                off = std::fmax(off, std::abs(a.data()[x] - b.data()[x]));
            CHECK(off <= 1e-10 * std::max(largest, 1.0));
        };
        check(by_support.q, by_rows.q);
        check(by_support.k, by_rows.k);
        check(by_support.v, by_rows.v);
    });
}

bool equal(const tensor4<float>& a, const tensor4<float>& b) {
    return a.size() == b.size() && std::equal(a.data(), a.data() + a.size(), b.data());
}

TEST_CASE("a window as long as the sequence is plain rotary, to the bit; so is a stretch of 1") {
    generator random(134);
    const inputs<float> in(problem(random, {2, 4, 2, 150, 333, 24, 8}));
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 16, .layout = layout});
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, heed::rotary(rope), heed::causal);
        const auto plain = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                    heed::rotary(rope), heed::causal);
        const auto part = heed::rectified_rotary(rope, 333);
        const auto [p, its_stats] = heed::attention_forward(in.q, in.k, in.v, part, heed::causal);
        CHECK(equal(o, p));
        const auto its =
            heed::attention_backward(in.d_o, p, its_stats, in.q, in.k, in.v, part, heed::causal);
        CHECK(equal(plain.q, its.q));
        CHECK(equal(plain.k, its.k));
        CHECK(equal(plain.v, its.v));
        const tensor4<float> unstretched = heed::attention(
            in.q, in.k, in.v, heed::leaky_rectified_rotary(rope, 20, 1), heed::causal);
        float error = 0;
        for (index e = 0; e < o.size(); ++e)
            error = std::max(error, std::abs(o.data()[e] - unstretched.data()[e]));
        CHECK(error < 1e-5F);
    }
}

TEST_CASE("rectified rows have the same bits in chunks, with threads, and one at a time") {
    generator random(135);
    const extents e{1, 2, 1, 200, 600, 16, 8};
    const inputs<float> in(problem(random, e));
    const auto rope = heed::rope::plain({.dim = 16});
    const auto part = heed::rectified_rotary(rope, 37);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part, heed::causal);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part, heed::causal);
    for (const int threads : {1, 2, 7}) {
        Eigen::ThreadPool pool(threads);
        const auto on = always_on(pool);
        const auto [p, its] = heed::attention_forward(in.q, in.k, in.v, part, heed::causal, on);
        CHECK(equal(o, p));
        const auto other =
            heed::attention_backward(in.d_o, p, its, in.q, in.k, in.v, part, heed::causal, on);
        CHECK(equal(gradient.q, other.q));
        CHECK(equal(gradient.k, other.k));
        CHECK(equal(gradient.v, other.v));
    }
    for (const index chunk : {1, 7, 64}) {
        for (index first = 0; first < e.queries; first += chunk) {
            const index count = std::min(chunk, e.queries - first);
            const index keys = e.keys - e.queries + first + count;  // as a cache would have them
            const Eigen::array<Eigen::Index, 4> zero{0, 0, 0, 0}, from{0, 0, first, 0};
            const tensor4<float> q =
                in.q.slice(from, Eigen::array<Eigen::Index, 4>{1, 2, count, 16});
            const tensor4<float> k =
                in.k.slice(zero, Eigen::array<Eigen::Index, 4>{1, 1, keys, 16});
            const tensor4<float> v = in.v.slice(zero, Eigen::array<Eigen::Index, 4>{1, 1, keys, 8});
            const tensor4<float> expected =
                o.slice(from, Eigen::array<Eigen::Index, 4>{1, 2, count, 8});
            if (!equal(heed::attention(q, k, v, part, heed::causal), expected))
                FAIL("chunk " << chunk << " at " << first);
        }
    }
}

TEST_CASE("what a mask hides does not leak through rectified positions") {
    generator random(136);
    const extents e{1, 1, 1, 90, 300, 8, 5};
    inputs<float> in(problem(random, e));
    const auto rope = heed::rope::plain({.dim = 8});
    const auto part = heed::rectified_rotary(rope, 25);
    // Keys 290 … are seen by the last rows alone.
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part, heed::causal);
    const auto clean =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part, heed::causal);
    for (index j = 290; j < e.keys; ++j) {
        in.k(0, 0, j, 3) = std::numeric_limits<float>::quiet_NaN();
        in.v(0, 0, j, 2) = std::numeric_limits<float>::infinity();
    }
    for (index i = 80; i < e.queries; ++i) in.d_o.chip(i, 2).setZero();
    const auto [p, its] = heed::attention_forward(in.q, in.k, in.v, part, heed::causal);
    const auto gradient =
        heed::attention_backward(in.d_o, p, its, in.q, in.k, in.v, part, heed::causal);
    for (index i = 0; i < 80; ++i) {
        for (index c = 0; c < 5; ++c) CHECK(p(0, 0, i, c) == o(0, 0, i, c));
        for (index c = 0; c < 8; ++c)
            CHECK(gradient.q(0, 0, i, c) == Approx(clean.q(0, 0, i, c)).margin(1e-5));
    }
}

TEST_CASE("rectified positions refuse what makes no sense") {
    using Catch::Matchers::Contains;
    const auto rope = heed::rope::plain({.dim = 8});
    CHECK_THROWS_AS(heed::rectified_rotary(rope, 0), heed::argument_error);
    CHECK_THROWS_WITH(heed::rectified_rotary(rope, -3),
                      Contains("heed::rectified_rotary") && Contains("-3") && Contains("1"));
    CHECK_THROWS_WITH(heed::leaky_rectified_rotary(rope, 4, 0), Contains("stretch is 0"));
    CHECK_THROWS_AS(heed::leaky_rectified_rotary(rope, 4, INFINITY), heed::argument_error);
    CHECK_THROWS_AS(heed::grouped_rotary(rope, 4, 0), heed::argument_error);
    generator random(137);
    const inputs<float> in(problem(random, {1, 1, 1, 3, 3, 6, 4}));
    CHECK_THROWS_AS(heed::attention(in.q, in.k, in.v, heed::rectified_rotary(rope, 2)),
                    heed::shape_error);
}

}  // namespace test_rectified_rotary
