#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/attention_weights.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_extremes {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr double infinity = std::numeric_limits<double>::infinity();

TEST_CASE("scores of ten thousand, of either sign") {
    generator random(81);
    for (const double size : {100.0, 1e4}) {
        for (int round = 0; round < 3; ++round) {
            const extents e = round < 2 ? random_extents(random) : long_extents(random);
            problem from(random, e);
            from.slack = 2;  // the promise ends at scores of 100
            reference::options how;
            how.scale = [=](index, index, index) { return size; };
            check_against_reference<float>(from, how, heed::scale(size));
            check_against_reference<double>(from, how, heed::scale(size));
        }
    }
}

TEST_CASE("a bias of ten thousand moves nothing, one of infinity hides") {
    generator random(82);
    for (int round = 0; round < 6; ++round) {
        const extents e = round < 4 ? random_extents(random) : long_extents(random);
        const problem from(random, e);
        reference::tensor bias = random_numbers(random, 1, 1, e.queries, e.keys);
        for (index i = 0; i < e.queries; ++i) {
            const double shift = random.one_of({1e4, -1e4, 0.0});
            const double hidden = random.one_of({0.0, 0.3, 1.0});
            for (index j = 0; j < e.keys; ++j) {
                bias(0, 0, i, j) += shift;
                bias(0, 0, i, j) = static_cast<double>(static_cast<float>(bias(0, 0, i, j)));
                if (random.chance(hidden)) bias(0, 0, i, j) = -infinity;
            }
        }
        reference::options how;
        how.modifiers = {reference::bias(bias)};
        const auto bias32 = to_tensor<float>(bias);
        const auto result =
            check_against_reference<float>(from, how, heed::learn(heed::bias(bias32)));
        const auto& gradient = result.gradient.template of<0>();
        CHECK(std::all_of(gradient.data(), gradient.data() + gradient.size(),
                          [](float x) { return std::isfinite(x); }));
        const auto bias64 = to_tensor<double>(bias);
        check_against_reference<double>(from, how, heed::bias(bias64));
    }
}

TEST_CASE("the same number added to a row of scores changes nothing") {
    generator random(83);
    const extents e{1, 2, 1, 37, 67, 8, 8};
    const inputs<float> in(random, e);
    tensor4<float> shift(1, 1, e.queries, 1);
    for (index i = 0; i < e.queries; ++i) shift(0, 0, i, 0) = 0.25F * static_cast<float>(i);
    const auto o = heed::attention(in.q, in.k, in.v);
    const auto shifted = heed::attention(in.q, in.k, in.v, heed::bias(shift));
    for (index x = 0; x < o.size(); ++x)
        CHECK(shifted.data()[x] == Approx(o.data()[x]).margin(2e-5));
    // A learned shift has no gradient.
    const auto part = heed::learn(heed::bias(shift));
    const auto [same_o, stats] = heed::attention_forward(in.q, in.k, in.v, part);
    const auto gradient = heed::attention_backward(in.d_o, same_o, stats, in.q, in.k, in.v, part);
    for (index i = 0; i < e.queries; ++i)
        CHECK(gradient.of<0>()(0, 0, i, 0) == Approx(0).margin(2e-5));
}

TEST_CASE("rows of weights sum to 1, and multiply v") {
    generator random(84);
    for (int round = 0; round < 4; ++round) {
        const extents e = round < 3 ? random_extents(random) : extents{1, 1, 1, 5, 521, 8, 3};
        const inputs<double> in(random, e);
        const auto o = heed::attention(in.q, in.k, in.v, heed::causal);
        const auto p = heed::attention_weights(in.q, in.k, heed::causal);
        for (index b = 0; b < e.batch; ++b) {
            for (index h = 0; h < e.heads; ++h) {
                for (index i = 0; i < e.queries; ++i) {
                    const index seen = std::max<index>(0, i + 1 + e.keys - e.queries);
                    double sum = 0, product = 0;
                    for (index j = 0; j < e.keys; ++j) {
                        const double weight = p(b, h, i, j);
                        CHECK((j < seen ? weight > 0 : weight == 0));
                        sum += weight;
                        product += weight * in.v(b, h * e.kv_heads / e.heads, j, 0);
                    }
                    CHECK(sum == Approx(seen > 0 ? 1 : 0).epsilon(1e-13));
                    CHECK(product == Approx(o(b, h, i, 0)).epsilon(1e-10).margin(1e-12));
                }
            }
        }
    }
}

TEST_CASE("no batch, no queries, no keys") {
    for (const extents& e : {extents{0, 2, 1, 3, 4, 5, 6}, extents{2, 2, 1, 0, 4, 5, 6},
                             extents{2, 2, 1, 3, 0, 5, 6}, extents{1, 1, 1, 0, 0, 1, 1}}) {
        INFO(to_string(e));
        generator random(85);
        const inputs<float> in(random, e);
        tensor4<float> bias(1, 1, 1, 1);
        bias.setConstant(1);
        const auto check = [&](const auto&... parts) {
            const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
            const auto gradient =
                heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
            const auto all_zero = [](const auto& x) {
                return std::all_of(x.data(), x.data() + x.size(), [](float y) { return y == 0; });
            };
            CHECK(o.dimension(2) == e.queries);
            CHECK(o.dimension(3) == e.value_dim);
            CHECK(all_zero(o));
            CHECK(all_zero(gradient.q));
            CHECK(all_zero(gradient.k));
            CHECK(all_zero(gradient.v));
            CHECK(all_zero(gradient.template of<0>()));
            const auto log_sum_exp = stats.log_sum_exp();
            for (index x = 0; x < log_sum_exp.size(); ++x)
                CHECK(log_sum_exp.data()[x] == -std::numeric_limits<float>::infinity());
        };
        check(heed::causal, heed::learn(heed::bias(bias)), heed::log_n_scale(64));
        CHECK(heed::attention_weights(in.q, in.k).size() == e.batch * e.heads * e.queries * e.keys);
    }
}

TEST_CASE("denormal numbers are numbers") {
    generator random(86);
    problem from(random, {1, 2, 1, 13, 37, 8, 8});
    for (double& x : from.v.values) x = static_cast<double>(static_cast<float>(x * 1e-40));
    reference::options how;
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const inputs<float> in(from);
    const auto o = heed::attention(in.q, in.k, in.v);
    for (index x = 0; x < o.size(); ++x)
        CHECK(std::abs(static_cast<double>(o.data()[x]) -
                       exact.o.values[static_cast<std::size_t>(x)]) <= 1e-43);
    problem tiny(random, {1, 2, 1, 13, 37, 8, 8});
    for (auto* side : {&tiny.q, &tiny.k})
        for (double& x : side->values) x = static_cast<double>(static_cast<float>(x * 1e-42));
    check_against_reference<float>(tiny, how);
}

}  // namespace test_attention_extremes
