#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>

#include "attention/modifiers/modifier_checks.hpp"
#include "reference/modifiers.hpp"
#include "support/catch.hpp"

namespace test_modifiers {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed_test::as_reference;
using heed_test::check_modifier;
using heed_test::epsilon;
using heed_test::keys_at;
using heed_test::numbers;
using heed_test::random_shape;
using heed_test::weighted_scores;

template <class Modifier>
void check_call(const Modifier& modifier, const heed::attention_shape& shape) {
    modifier.check(shape);
}

TEMPLATE_TEST_CASE("a bias is added, broadcast, in either storage order", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(1);
    for (int round = 0; round < 20; ++round) {
        const auto shape = random_shape(random);
        const auto or_one = [&](index extent) { return random.chance(0.3) ? 1 : extent; };
        const auto matrix =
            random.matrix<T, Eigen::ColMajor>(or_one(shape.queries), or_one(shape.keys));
        check_modifier<T>(heed::bias(matrix), shape, reference::bias(as_reference(matrix)), 1,
                          random);
        const auto per_head = random.tensor<T>(or_one(shape.heads), shape.queries, shape.keys);
        check_modifier<T>(heed::bias(per_head), shape, reference::bias(as_reference(per_head)), 1,
                          random);
        const auto full = random.tensor<T>(or_one(shape.batch), or_one(shape.heads),
                                           or_one(shape.queries), or_one(shape.keys));
        check_modifier<T>(heed::bias(full), shape, reference::bias(as_reference(full)), 1, random);
        const Eigen::Tensor<T, 4, Eigen::RowMajor> twice = full * T(2);
        check_modifier<T>(heed::bias(full * T(2)), shape, reference::bias(as_reference(twice)), 1,
                          random);
    }
}

TEMPLATE_TEST_CASE("ALiBi subtracts a slope times the distance", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(2);
    for (int round = 0; round < 20; ++round) {
        const auto shape = random_shape(random);
        std::vector<double> slopes;
        Eigen::RowVectorX<T> vector(shape.heads);
        for (index h = 0; h < shape.heads; ++h) {
            vector(h) = static_cast<T>(random.uniform(0, 1));
            slopes.push_back(static_cast<double>(vector(h)));
        }
        check_modifier<T>(heed::alibi(vector), shape,
                          reference::alibi(slopes, shape.queries, shape.keys), 3, random);
    }
}

TEST_CASE("the slopes of ALiBi are those of its paper") {
    const auto eight = heed::alibi_slopes<double>(8);
    for (index h = 0; h < 8; ++h)
        CHECK(eight(h) == Approx(std::pow(0.5, static_cast<double>(h + 1))).epsilon(1e-15));
    const auto sixteen = heed::alibi_slopes<double>(16);
    CHECK(sixteen(0) == Approx(std::pow(2.0, -0.5)));
    CHECK(sixteen(15) == Approx(std::pow(2.0, -8.0)));
    // Twelve heads: the eight of eight, then every other one of sixteen.
    const auto twelve = heed::alibi_slopes<double>(12);
    CHECK(twelve.head(8) == eight);
    for (index h = 0; h < 4; ++h) CHECK(twelve(8 + h) == Approx(sixteen(2 * h)));
    CHECK(heed::alibi_slopes(1)(0) == Approx(std::pow(2.0f, -8.0f)));
    CHECK(heed::alibi_slopes(3u).size() == 3);
}

TEMPLATE_TEST_CASE("the soft cap is c tanh(s/c)", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(3);
    for (const double cap : {0.01, 1.0, 3.0, 50.0, 1e6}) {
        const auto shape = random_shape(random);
        check_modifier<T>(heed::soft_cap(cap), shape, reference::soft_cap(cap), 0, random);
    }
}

TEMPLATE_TEST_CASE("the soft cap is right everywhere, and at what is no number", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const auto cap = heed::soft_cap(2).template on_row<T>({});
    const auto at = [&](double s) {
        return static_cast<double>(numbers(cap(heed::vec<T>(static_cast<T>(s)), {}))[0]);
    };
    for (double s = 1e-30; s < 1e30; s *= 1.07) {
        const auto rounded = static_cast<double>(static_cast<T>(s));
        INFO("s = " << s);
        CHECK(std::abs(at(s) - 2 * std::tanh(rounded / 2)) <=
              4 * epsilon<T> * std::abs(2 * std::tanh(rounded / 2)));
        CHECK(at(-s) == -at(s));
    }
    constexpr double infinity = std::numeric_limits<double>::infinity();
    CHECK(at(infinity) == Approx(2));
    CHECK(at(-infinity) == Approx(-2));
    CHECK(at(0) == 0);
    CHECK(std::signbit(at(-0.0)));
    CHECK(std::isnan(at(std::numeric_limits<double>::quiet_NaN())));
}

/// One of the user's functions on vectors, all of which are the same function of the score's place.
const reference::modifier by_hand{[](double s, index, index, index, index) { return s * s - s; },
                                  [](double s, index, index, index, index) { return 2 * s - 1; }};

TEMPLATE_TEST_CASE("a user's modifier takes the score, its positions, its batch and head", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using V = heed::vec<T>;
    heed_test::generator random(4);
    for (int round = 0; round < 5; ++round) {
        const auto shape = random_shape(random);
        const index shift = shape.keys - shape.queries;
        check_modifier<T>(
            heed::modifier([](auto s) { return s * s - s; }, [](auto s) { return 2 * s - 1; }),
            shape, by_hand, 1, random);
        check_modifier<T>(heed::modifier(heed::scalar([](T s) { return s * s - s; }),
                                         heed::scalar([](T s) { return 2 * s - 1; })),
                          shape, by_hand, 1, random);

        const reference::modifier by_position{
            [=](double s, index, index, index i, index j) {
                return s - 0.5 * static_cast<double>(std::abs(i + shift - j));
            },
            [](double, index, index, index, index) { return 1.0; }};
        check_modifier<T>(
            heed::modifier([](auto s, auto i, auto j) { return s - 0.5 * abs(i - j); },
                           [](auto) { return 1; }),
            shape, by_position, 10, random);
        check_modifier<T>(heed::modifier(heed::scalar([](T s, index i, index j) {
                                             return s - T(0.5) * static_cast<T>(std::abs(i - j));
                                         }),
                                         [](auto) { return 1; }),
                          shape, by_position, 10, random);

        const reference::modifier by_place{
            [=](double s, index b, index h, index i, index j) {
                return s * static_cast<double>(h + 1) + static_cast<double>(b + i + shift - j);
            },
            [](double, index, index h, index, index) { return static_cast<double>(h + 1); }};
        check_modifier<T>(
            heed::modifier([](V s, index b, index h, heed::lanes<T> i,
                              heed::lanes<T> j) { return s * V(h + 1) + V(i - j + b); },
                           [](V, index, index h, heed::lanes<T>, heed::lanes<T>) { return h + 1; }),
            shape, by_place, 10, random);
        check_modifier<T>(
            heed::modifier(heed::scalar([](T s, index b, index h, index i, index j) {
                               return s * static_cast<T>(h + 1) + static_cast<T>(b + i - j);
                           }),
                           heed::scalar([](T, index, index h, index, index) { return h + 1; })),
            shape, by_place, 10, random);
    }
}

TEST_CASE("a user's function on numbers is not called for lanes without a key") {
    int calls = 0;
    const auto modifier = heed::modifier(heed::scalar([&](float s) {
        ++calls;
        return 2 * s;
    }));
    const auto row = modifier.on_row<float>({});
    row(heed::vec<float>(1.0f), {.first = 0, .count = 1, .position = {}});
    CHECK(calls == 1);
}

TEST_CASE("a modifier without a derivative has none") {
    const heed::vec<float> s(1.0f);
    const auto has_derivative = [&](const auto& modifier) {
        const auto row = modifier.template on_row<float>({});
        return requires { row.derivative(s, s, heed::key_lanes<float>{}); };
    };
    CHECK_FALSE(has_derivative(heed::modifier([](auto x) { return x; })));
    CHECK(has_derivative(heed::modifier([](auto x) { return x; }, [](auto) { return 1; })));
    CHECK(has_derivative(heed::soft_cap(3)));
}

TEMPLATE_TEST_CASE("a bias's gradient has its shape, and what is broadcast is summed", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(5);
    for (int round = 0; round < 30; ++round) {
        const auto shape = random_shape(random);
        const weighted_scores all(shape, random);
        const auto or_one = [&](index extent) { return random.chance(0.4) ? 1 : extent; };
        const auto values = random.tensor<T>(or_one(shape.batch), or_one(shape.heads),
                                             or_one(shape.queries), or_one(shape.keys));
        INFO("bias " << values.dimension(0) << " " << values.dimension(1) << " "
                     << values.dimension(2) << " " << values.dimension(3));
        const auto got = as_reference(all.gradient<T>(heed::bias(values)));
        reference::tensor expected(got.batches(), got.heads(), got.rows(), got.columns());
        reference::for_each_row(all.weights, [&](index b, index h, index i) {
            for (index j = 0; j < shape.keys; ++j)
                expected(got.batches() == 1 ? 0 : b, got.heads() == 1 ? 0 : h,
                         got.rows() == 1 ? 0 : i, got.columns() == 1 ? 0 : j) +=
                    all.weights(b, h, i, j);
        });
        REQUIRE(got.extents == as_reference(values).extents);
        CHECK(reference::largest_difference(got, expected) < 1000 * epsilon<T>);
    }
    // The gradient is of the bias's kind.
    const weighted_scores all({1, 1, 1, 3, 4, 8, 8}, random);
    const auto matrix = random.matrix<T, Eigen::ColMajor>(3, 4);
    STATIC_REQUIRE(std::is_same_v<decltype(all.gradient<T>(heed::bias(matrix))),
                                  Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>>);
}

TEMPLATE_TEST_CASE("the gradients of ALiBi's slopes and of the cap are central differences", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(6);
    const double step = 1e-5;
    const double tolerance = std::is_same_v<T, float> ? 4e-6 : 1e-8;
    for (int round = 0; round < 10; ++round) {
        const auto shape = random_shape(random);
        const weighted_scores all(shape, random);

        const std::vector<double> slopes(static_cast<std::size_t>(shape.heads), 0.25);
        const auto by_slope = all.gradient<T>(heed::alibi(slopes));
        REQUIRE(by_slope.size() == shape.heads);
        for (std::size_t h = 0; h < slopes.size(); ++h) {
            auto more = slopes, less = slopes;
            more[h] += step;
            less[h] -= step;
            const auto alibi = [&](const std::vector<double>& s) {
                return reference::alibi(s, shape.queries, shape.keys);
            };
            const double expected = (all.loss(alibi(more)) - all.loss(alibi(less))) / (2 * step);
            CHECK(std::abs(static_cast<double>(by_slope(static_cast<index>(h))) - expected) <=
                  tolerance * (1 + all.loss(alibi(slopes), true)));
        }

        const double cap = random.uniform(1, 6);
        const auto by_cap = all.gradient<T>(heed::soft_cap(cap));
        const double expected = (all.loss(reference::soft_cap(cap + step)) -
                                 all.loss(reference::soft_cap(cap - step))) /
                                (2 * step);
        CHECK(std::abs(static_cast<double>(by_cap(0)) - expected) <=
              tolerance * (1 + all.loss(reference::soft_cap(cap), true)));
    }
}

TEST_CASE("the sums behind a parameter keep their digits") {
    std::vector<float> sum(static_cast<std::size_t>(heed::detail::lane_sum<float>::size));
    const int count = 1 << 20;
    for (int e = 0; e < count; ++e)
        heed::detail::lane_sum<float>::add(sum.data(), heed::vec<float>(0.1f),
                                           heed::vec<float>(1.0f));
    const double expected = static_cast<double>(0.1f) * count * heed::vec<float>::size;
    CHECK(heed::detail::lane_sum<float>::total(sum.data()) == Approx(expected).epsilon(1e-9));
}

TEST_CASE("modifiers refuse what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(heed::soft_cap(0), heed::argument_error);
    CHECK_THROWS_WITH(heed::soft_cap(-2.5),
                      "heed::soft_cap: the cap is -2.5, but must lie between 1e-30 and 1e30");
    CHECK_THROWS_AS(heed::soft_cap(nan), heed::argument_error);

    CHECK_THROWS_AS(check_call(heed::alibi(std::vector<float>(3)), shape), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::alibi(std::vector<float>(3)), shape),
                      "heed::alibi has 3 slopes, but there are 4 query heads");
    CHECK_THROWS_WITH(check_call(heed::alibi(std::vector<double>{1, 1, nan, 1}), shape),
                      "heed::alibi: the slope of head 2 is nan, but must be finite");
    CHECK_THROWS_AS(heed::alibi_slopes(0), heed::argument_error);
    CHECK_THROWS_AS(heed::alibi_slopes(std::numeric_limits<std::uint64_t>::max()),
                    heed::argument_error);
    CHECK_THROWS_WITH(heed::alibi_slopes(-4),
                      "heed::alibi_slopes: the number of heads is -4, but must lie between 1 and "
                      "2^24");

    const Eigen::MatrixXf bias = Eigen::MatrixXf::Zero(6, 7);
    CHECK_THROWS_AS(check_call(heed::bias(bias), shape), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::bias(bias), shape),
                      "heed::bias has shape [6, 7], but must broadcast to [batch, heads, queries, "
                      "keys] = [2, 4, 6, 8]: each extent that, or 1");
    Eigen::Tensor<float, 4> full(3, 4, 6, 8);
    CHECK_THROWS_AS(check_call(heed::bias(full), shape), heed::shape_error);
    const float* nothing = nullptr;
    CHECK_THROWS_WITH(check_call(heed::bias(heed::view(nothing, {6, 8})), shape),
                      "heed::bias is a null pointer with shape [6, 8], but only an empty view may "
                      "be null");
}

}  // namespace test_modifiers
