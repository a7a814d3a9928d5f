#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/relu.hpp>

#include "linear/problem.hpp"
#include "support/allocations.hpp"

namespace test_linear_special_values {

using namespace heed_test;
using heed::index;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The result with one number changed, against that without: rows before `first` are the same.
template <class... Parts>
void check_no_leak(double poison, const Parts&... parts) {
    generator random(950);
    const linear_inputs<float> in(linear_problem(random, {1, 2, 2, 2, 75, 75, 5, 6}));
    const auto clean = heed::linear_attention(in.q, in.k, in.v, heed::causal, parts...);
    for (const index at : {0, 1, 20, 31, 32, 50, 74}) {
        INFO(poison << " at " << at);
        linear_inputs<float> bad = in;
        bad.v(0, 0, at, 2) = static_cast<float>(poison);
        auto o = heed::linear_attention(bad.q, bad.k, bad.v, heed::causal, parts...);
        for (index i = 0; i < 75; ++i) {
            for (index c = 0; c < 6; ++c) {
                if (i < at || c != 2) CHECK(o(0, 0, i, c) == clean(0, 0, i, c));
                if (i >= at && c == 2) CHECK_FALSE(std::isfinite(o(0, 0, i, c)));
                CHECK(o(0, 1, i, c) == clean(0, 1, i, c));
            }
        }
        bad = in;
        bad.k(0, 1, at, 3) = static_cast<float>(nan);
        o = heed::linear_attention(bad.q, bad.k, bad.v, heed::causal, parts...);
        for (index i = 0; i < 75; ++i)
            for (index c = 0; c < 6; ++c)
                if (i < at) CHECK(o(0, 1, i, c) == clean(0, 1, i, c));
        CHECK(std::isnan(o(0, 1, 74, 0)));
        bad = in;
        bad.q(0, 1, at, 0) = static_cast<float>(nan);
        o = heed::linear_attention(bad.q, bad.k, bad.v, heed::causal, parts...);
        for (index i = 0; i < 75; ++i)
            for (index c = 0; c < 6; ++c)
                if (i != at) CHECK(o(0, 1, i, c) == clean(0, 1, i, c));
        CHECK(std::isnan(o(0, 1, at, 0)));
    }
}

TEST_CASE("what is not finite reaches later rows alone, and of q its own") {
    check_no_leak(nan, heed::elu_plus_one);
    check_no_leak(infinity, heed::elu_plus_one);
    check_no_leak(nan, heed::exp_features);
}

TEST_CASE("gradients of rows before one that is not finite stay") {
    generator random(951);
    const linear_inputs<double> in(linear_problem(random, {1, 1, 1, 1, 70, 70, 3, 4}));
    const auto gradients_of = [](const linear_inputs<double>& x) {
        const auto [o, stats] =
            heed::linear_attention_forward(x.q, x.k, x.v, heed::causal, heed::elu_plus_one);
        return heed::linear_attention_backward(x.d_o, o, stats, x.q, x.k, x.v, heed::causal,
                                               heed::elu_plus_one);
    };
    const auto clean = gradients_of(in);
    linear_inputs<double> bad = in;
    bad.d_o(0, 0, 40, 1) = nan;  // query 40: the keys up to it, no other query
    const auto dirty = gradients_of(bad);
    for (index i = 0; i < 70; ++i) {
        for (index c = 0; c < 3; ++c) {
            if (i != 40) CHECK(dirty.q(0, 0, i, c) == clean.q(0, 0, i, c));
            if (i > 40) CHECK(dirty.k(0, 0, i, c) == clean.k(0, 0, i, c));
        }
        for (index c = 0; c < 4; ++c)
            if (i > 40) CHECK(dirty.v(0, 0, i, c) == clean.v(0, 0, i, c));
    }
    CHECK(std::isnan(dirty.k(0, 0, 40, 0)));
}

TEST_CASE("padding is never read") {
    generator random(952);
    const linear_inputs<float> in(linear_problem(random, {2, 1, 1, 1, 50, 50, 4, 4}));
    linear_inputs<float> padded = in;
    const std::vector<index> lengths{33, 0};
    for (index b = 0; b < 2; ++b)
        for (index j = lengths[static_cast<std::size_t>(b)]; j < 50; ++j)
            for (index c = 0; c < 4; ++c)
                padded.k(b, 0, j, c) = padded.v(b, 0, j, c) = static_cast<float>(nan);
    const auto check = [&](const auto&... parts) {
        const auto [o, stats] = heed::linear_attention_forward(
            padded.q, padded.k, padded.v, heed::elu_plus_one, heed::key_lengths(lengths), parts...);
        const auto gradients = heed::linear_attention_backward(
            in.d_o, o, stats, padded.q, padded.k, padded.v, heed::elu_plus_one,
            heed::key_lengths(lengths), parts...);
        for (index e = 0; e < o.size(); ++e) {
            CHECK(std::isfinite(o.data()[e]));
            if (e >= o.size() / 2) CHECK(o.data()[e] == 0);
            CHECK(std::isfinite(gradients.q.data()[e]));
            CHECK(std::isfinite(gradients.k.data()[e]));
            CHECK(std::isfinite(gradients.v.data()[e]));
        }
        for (index j = 33; j < 50; ++j) CHECK(gradients.v(0, 0, j, 0) == 0);
    };
    check();
    check(heed::causal);
}

TEST_CASE("a query that meets no key gives zeros") {
    generator random(953);
    linear_inputs<double> in(linear_problem(random, {1, 1, 1, 1, 40, 40, 3, 4}));
    for (index c = 0; c < 3; ++c) in.q(0, 0, 7, c) = -1;
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, heed::relu);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, heed::relu);
    for (index c = 0; c < 4; ++c) CHECK(o(0, 0, 7, c) == 0);
    for (index c = 0; c < 3; ++c) CHECK(gradients.q(0, 0, 7, c) == 0);
    for (index e = 0; e < gradients.k.size(); ++e) CHECK(std::isfinite(gradients.k.data()[e]));
}

TEST_CASE("exponentials of numbers of any size neither overflow nor vanish") {
    generator random(954);
    linear_inputs<float> in(linear_problem(random, {1, 1, 1, 1, 60, 60, 4, 3}));
    for (const float size : {-3000.F, 3000.F, 1e30F}) {
        linear_inputs<float> large = in;
        large.k = large.k + large.k.constant(size);
        large.q = large.q + large.q.constant(-2 * size);
        const auto o =
            heed::linear_attention(large.q, large.k, large.v, heed::causal, heed::exp_features);
        for (index e = 0; e < o.size(); ++e) CHECK(std::isfinite(o.data()[e]));
        CHECK(o(0, 0, 0, 0) == Approx(in.v(0, 0, 0, 0)));
    }
    in.k(0, 0, 5, 1) = -std::numeric_limits<float>::infinity();  // a feature of 0
    in.k(0, 0, 0, 2) = -std::numeric_limits<float>::infinity();
    const auto o = heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::exp_features);
    for (index e = 0; e < o.size(); ++e) CHECK(std::isfinite(o.data()[e]));
}

TEST_CASE("nothing is allocated by a second call of the same shape") {
    generator random(955);
    const linear_inputs<float> in(linear_problem(random, {2, 4, 2, 2, 90, 90, 5, 6}));
    tensor4<float> o(in.d_o.dimensions());
    heed::linear_state<float> state({.rewindable = true});
    heed::linear_stats<float> stats;
    tensor4<float> dq(in.q.dimensions()), dk(in.k.dimensions()), dv(in.v.dimensions());
    heed::workspace memory;
    const std::vector<index> lengths{90, 4};
    const auto all = [&] {
        heed::linear_attention_into(o, in.q, in.k, in.v, heed::causal, heed::elu_plus_one,
                                    heed::carry(state), heed::in(memory));
        heed::linear_attention_forward_into(o, stats, in.q, in.k, in.v, heed::exp_features,
                                            heed::key_lengths(lengths));
        heed::linear_attention_backward_into(heed::into(dq, dk, dv), in.d_o, o, stats, in.q, in.k,
                                             in.v, heed::exp_features, heed::key_lengths(lengths));
    };
    for (int time = 0; time < 2; ++time) all();
    const std::size_t before = allocations();
    for (int time = 0; time < 3; ++time) all();
    CHECK(allocations() == before);
}

TEST_CASE("no tokens at all") {
    const auto check = [](index queries, index keys, index batch) {
        tensor4<float> q(batch, 2, queries, 3), k(batch, 2, keys, 3), v(batch, 2, keys, 4);
        q.setConstant(1);
        k.setConstant(1);
        v.setConstant(1);
        for (const auto& o : {heed::linear_attention(q, k, v, heed::elu_plus_one),
                              heed::linear_attention(q, k, v, heed::causal, heed::elu_plus_one)}) {
            CHECK(o.dimension(2) == queries);
            for (index e = 0; e < o.size(); ++e) CHECK(o.data()[e] == 0);
        }
        const auto [o, stats] = heed::linear_attention_forward(q, k, v, heed::elu_plus_one);
        const auto gradients =
            heed::linear_attention_backward(o, o, stats, q, k, v, heed::elu_plus_one);
        for (index e = 0; e < gradients.k.size(); ++e) CHECK(gradients.k.data()[e] == 0);
    };
    check(0, 0, 1);
    check(3, 0, 1);
    check(0, 3, 1);
    check(3, 3, 0);
}

}  // namespace test_linear_special_values
