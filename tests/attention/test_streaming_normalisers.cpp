#include <algorithm>
#include <cmath>
#include <limits>

#include <heed/attention/attention.hpp>
#include <heed/attention/causal.hpp>
#include <heed/attention/key_lengths.hpp>
#include <heed/attention/mask.hpp>
#include <heed/attention/soft_cap.hpp>
#include <heed/softmax/l2_softmax.hpp>
#include <heed/softmax/positive.hpp>
#include <heed/softmax/relu_squared.hpp>
#include <heed/softmax/sigmoid.hpp>
#include <heed/softmax/taylor_softmax.hpp>

#include "attention/reference_check.hpp"
#include "reference/dense.hpp"
#include "reference/masks.hpp"

/// \file
/// Normalisers that take a row block by block and are not softmax, inside attention.

namespace {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// But for some roundings of the largest number there is.
template <class T>
void check_near(const char* what, const reference::tensor& actual,
                const reference::tensor& expected) {
    INFO(what);
    double largest = 0, error = 0;
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        largest = std::max(largest, std::abs(expected.values[e]));
        const double difference = std::abs(actual.values[e] - expected.values[e]);
        if (!(difference <= error)) error = difference;
    }
    CHECK(error <= 256 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest);
}

/// Forward and backward with these parts are the reference's.
template <class T, class... Parts>
void check_normaliser(const problem& from, const reference::options& how, const Parts&... parts) {
    INFO((std::is_same_v<T, float> ? "float, " : "double, ") << to_string(from.sizes));
    const inputs<T> in(from);
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const auto expected = attention_backward(from.d_o, exact, from.q, from.k, from.v, how);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    check_near<T>("o", to_reference(o, exact.o), exact.o);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    check_near<T>("dq", to_reference(gradient.q, from.q), expected.q);
    check_near<T>("dk", to_reference(gradient.k, from.k), expected.k);
    check_near<T>("dv", to_reference(gradient.v, from.v), expected.v);
}

/// The gradients are the slopes of Σ d_o·o.
template <class... Parts>
void check_slopes_of_parts(generator& random, const problem& from, const Parts&... parts) {
    INFO(to_string(from.sizes));
    inputs<double> in(from);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    const auto loss = [&] {
        const auto now = heed::attention(in.q, in.k, in.v, parts...);
        double sum = 0;
        for (index e = 0; e < now.size(); ++e) sum += now.data()[e] * in.d_o.data()[e];
        return sum;
    };
    const double largest = largest_of(gradient);
    check_slopes("dq by differences", random, 8, in.q, gradient.q, loss, largest);
    check_slopes("dk by differences", random, 8, in.k, gradient.k, loss, largest);
    check_slopes("dv by differences", random, 8, in.v, gradient.v, loss, largest);
}

/// All of that, under a causal mask, for problems of many extents.
template <class Normaliser>
void check_streaming(const Normaliser& normaliser, const reference::row_normaliser& exact) {
    for_problems(81, [&](generator& random, const problem& from) {
        reference::options how;
        how.normaliser = exact;
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_normaliser<float>(from, how, heed::causal, normaliser);
        check_normaliser<double>(from, how, heed::causal, normaliser);
        check_slopes_of_parts(random, from, heed::causal, normaliser);
    });
}

TEST_CASE("attention with Taylor softmax") {
    check_streaming(heed::taylor_softmax(2), reference::taylor_softmax(2));
}

TEST_CASE("attention with a positive function of the user's") {
    check_streaming(heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; }),
                    reference::ratio([](long double x) { return 1 + x * x; },
                                     [](long double x) { return 2 * x; }));
}

TEST_CASE("attention with sigmoid") { check_streaming(heed::sigmoid, reference::sigmoid()); }

TEST_CASE("attention with relu squared") {
    check_streaming(heed::relu_squared, reference::relu_squared());
}

TEST_CASE("attention with normalised relu squared") {
    check_streaming(heed::normalised_relu_squared, reference::normalised_relu_squared());
}

TEST_CASE("attention with l2 softmax") {
    check_streaming(heed::l2_softmax, reference::l2_softmax());
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

}  // namespace
