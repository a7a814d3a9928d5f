#include <cmath>
#include <limits>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>

#include "attention/normaliser_check.hpp"
#include "reference/dense.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// Normalisers that take a row block by block and are not softmax, inside attention.

namespace test_streaming_normalisers {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("attention with Taylor softmax") {
    check_causal_normaliser<float, double>(heed::taylor_softmax(2), reference::taylor_softmax(2));
}

TEST_CASE("attention with a positive function of the user's") {
    check_causal_normaliser<double>(
        heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; }),
        reference::ratio([](long double x) { return 1 + x * x; },
                         [](long double x) { return 2 * x; }));
}

TEST_CASE("attention with sigmoid") {
    check_causal_normaliser<float, double>(heed::sigmoid, reference::sigmoid());
}

TEST_CASE("attention with relu squared") {
    check_causal_normaliser<double>(heed::relu_squared, reference::relu_squared());
}

TEST_CASE("attention with normalised relu squared") {
    check_causal_normaliser<double>(heed::normalised_relu_squared,
                                    reference::normalised_relu_squared());
}

TEST_CASE("attention with l2 softmax") {
    check_causal_normaliser<float, double>(heed::l2_softmax, reference::l2_softmax());
}

TEST_CASE("a higher order, and constants in the place of n") {
    generator random(82);
    const problem from(random, {1, 2, 1, 37, 67, 8, 5});
    reference::options how;
    const auto check = [&](const auto& normaliser, const reference::row_normaliser& exact) {
        how.normaliser = exact;
        check_normaliser<double>(from, how, normaliser);
    };
    check(heed::taylor_softmax(6), reference::taylor_softmax(6));
    check(heed::sigmoid.bias(-1.5), reference::sigmoid(-1.5));
    check(heed::relu_squared.over(100), reference::relu_squared(100));
}

TEST_CASE("n counts what lane masks leave, and modifiers come first") {
    generator random(83);
    const problem from(random, {2, 2, 2, 29, 53, 5, 7});
    reference::options how;
    how.modifiers = {reference::soft_cap(2)};
    how.visible = [](index, index, index i, index j) { return (i + j) % 3 != 0; };
    const auto thirds =
        heed::mask(heed::scalar([](index i, index j) { return (i - 24 + j) % 3 != 0; }));
    how.normaliser = reference::sigmoid();
    check_normaliser<float>(from, how, heed::soft_cap(2), thirds, heed::sigmoid);
    how.normaliser = reference::taylor_softmax(2);
    check_normaliser<float>(from, how, heed::soft_cap(2), thirds, heed::taylor_softmax(2));
}

TEST_CASE("a row that sees nothing gives zeros and gets no gradient") {
    const extents e{2, 1, 1, 3, 5, 4, 4};
    generator random(84);
    const inputs<float> in(random, e);
    const auto lengths = heed::key_lengths({0, 5});
    const auto check = [&](const auto& normaliser) {
        const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, lengths, normaliser);
        const auto gradient =
            heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, lengths, normaliser);
        for (index i = 0; i < 3; ++i) {
            for (index x = 0; x < 4; ++x) {
                CHECK(o(0, 0, i, x) == 0);
                CHECK(gradient.q(0, 0, i, x) == 0);
                CHECK(std::isfinite(gradient.q(1, 0, i, x)));
            }
        }
        for (index j = 0; j < 5; ++j) {
            CHECK(gradient.k(0, 0, j, 0) == 0);
            CHECK(gradient.v(0, 0, j, 0) == 0);
        }
    };
    check(heed::taylor_softmax(2));
    check(heed::sigmoid);
    check(heed::relu_squared);
    check(heed::l2_softmax);
}

TEST_CASE("scores of 1e4, and NaN in one query") {
    const extents e{1, 1, 1, 20, 40, 4, 4};
    generator random(85);
    inputs<float> in(random, e, 100);  // scores of the order of 1e4
    in.q(0, 0, 7, 2) = std::numeric_limits<float>::quiet_NaN();
    const auto check = [&](const auto& normaliser) {
        const auto o = heed::attention(in.q, in.k, in.v, normaliser);
        for (index i = 0; i < 20; ++i) CHECK(std::isnan(o(0, 0, i, 1)) == (i == 7));
    };
    check(heed::taylor_softmax(2));
    check(heed::taylor_softmax(6));
    check(heed::sigmoid);
    check(heed::normalised_relu_squared);
    check(heed::l2_softmax);
}

TEST_CASE("a row has the same bits in any chunk of queries") {
    generator random(86);
    const inputs<float> in(random, {1, 2, 1, 150, 700, 8, 16});
    const Eigen::array<index, 4> first{0, 0, 143, 0}, size{1, 2, 7, 8};
    const tensor4<float> last = in.q.slice(first, size);
    const auto check = [&](const auto& normaliser) {
        const auto o = heed::attention(in.q, in.k, in.v, heed::causal, normaliser);
        const auto chunk = heed::attention(last, in.k, in.v, heed::causal, normaliser);
        bool same = true;
        for (index h = 0; h < 2; ++h)
            for (index i = 0; i < 7; ++i)
                for (index x = 0; x < 16; ++x) same &= chunk(0, h, i, x) == o(0, h, 143 + i, x);
        CHECK(same);
    };
    check(heed::taylor_softmax(2));
    check(heed::sigmoid);
    check(heed::l2_softmax);
}

}  // namespace test_streaming_normalisers
