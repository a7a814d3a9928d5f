#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <heed/attention/modifiers/kerple.hpp>
#include <heed/attention/modifiers/relative_bias.hpp>
#include <heed/attention/modifiers/sandwich.hpp>
#include <heed/attention/modifiers/t5_bias.hpp>

#include "attention/modifiers/modifier_checks.hpp"

namespace test_distance_biases {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

Eigen::MatrixXd random_table(generator& random, index buckets, index heads) {
    Eigen::MatrixXd table(buckets, heads);
    random.fill_normal(table);
    return table;
}

reference::modifier t5(const Eigen::MatrixXd& table, bool bidirectional, index max_distance,
                       const heed::attention_shape& shape) {
    return reference::by_distance(
        [=](index h, double distance) {
            return table(reference::t5_bucket(static_cast<index>(distance), bidirectional,
                                              table.rows(), max_distance),
                         h);
        },
        shape.queries, shape.keys);
}

/// table[clip(i − j, −R, R) + R, head], a table of one column for all heads.
reference::modifier relative(const Eigen::MatrixXd& table, const heed::attention_shape& shape) {
    return reference::by_distance(
        [=](index h, double distance) {
            const index reach = table.rows() / 2;
            const index clipped = std::clamp(-static_cast<index>(distance), -reach, reach);
            return table(clipped + reach, table.cols() == 1 ? 0 : h);
        },
        shape.queries, shape.keys);
}

/// r₁ and r₂ of every head.
struct kerple_parameters {
    std::vector<double> r1, r2;

    kerple_parameters(generator& random, index heads) {
        for (index h = 0; h < heads; ++h) {
            r1.push_back(random.uniform(0.1, 2));
            r2.push_back(random.uniform(0.1, 2));
        }
    }
    reference::modifier power(const heed::attention_shape& shape) const {
        return of(reference::kerple_power, shape);
    }
    reference::modifier log(const heed::attention_shape& shape) const {
        return of(reference::kerple_log, shape);
    }

  private:
    reference::modifier of(double (*kernel)(double, double, double),
                           const heed::attention_shape& shape) const {
        return reference::by_distance(
            [*this, kernel](index h, double distance) {
                const auto head = static_cast<std::size_t>(h);
                return kernel(r1[head], r2[head], distance);
            },
            shape.queries, shape.keys);
    }
};

TEST_CASE("the buckets of T5 are its authors'") {
    for (const bool bidirectional : {true, false}) {
        for (const index buckets : {4, 6, 8, 16, 32, 64, 128}) {
            for (const index furthest : {40, 128, 200, 1000}) {
                if (furthest <= buckets / (bidirectional ? 4 : 2)) continue;
                const heed::detail::t5_buckets of(
                    buckets, {.bidirectional = bidirectional, .max_distance = furthest});
                index wrong = 0;
                for (index distance = -2 * furthest; distance <= 2 * furthest; ++distance) {
                    const index expected =
                        reference::t5_bucket(distance, bidirectional, buckets, furthest);
                    if (of.of(static_cast<double>(distance)) != expected) ++wrong;
                }
                INFO("buckets " << buckets << ", furthest " << furthest);
                CHECK(wrong == 0);
            }
        }
    }
    // 32 buckets up to 128, as T5 has them: 8·2^(k/2) begins bucket 8 + k of a side.
    const heed::detail::t5_buckets of(32, {});
    const std::vector<index> begins{8, 12, 16, 23, 32, 46, 64, 91};
    for (std::size_t k = 0; k < begins.size(); ++k) {
        CHECK(of.of(static_cast<double>(-begins[k])) == 8 + static_cast<index>(k));
        CHECK(of.of(static_cast<double>(1 - begins[k])) == 7 + static_cast<index>(k));
        CHECK(of.of(static_cast<double>(begins[k])) == 24 + static_cast<index>(k));
    }
    CHECK(of.of(-1e15) == 15);
    CHECK(of.of(1e15) == 31);
    CHECK(of.of(-1.5) == 1);
    CHECK(of.of(1.5) == 17);
}

TEMPLATE_TEST_CASE("biases of distance are their definitions, in the table and beyond", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(71);
    for (int round = 0; round < 12; ++round) {
        auto shape = random_shape(random);
        if (round % 3 == 0) shape.keys += 300;  // beyond the table's margin
        const bool bidirectional = random.chance(0.5);
        const index furthest = random.integer(9, 60);
        const auto table = random_table(random, 2 * random.integer(2, 8), shape.heads);
        check_modifier<T>(
            heed::t5_bias(table, {.bidirectional = bidirectional, .max_distance = furthest}), shape,
            t5(table, bidirectional, furthest, shape), 1, random);

        const auto clipped = random_table(random, 2 * random.integer(0, 80) + 1,
                                          random.chance(0.5) ? 1 : shape.heads);
        check_modifier<T>(heed::relative_bias(clipped), shape, relative(clipped, shape), 1, random);

        const kerple_parameters kerple(random, shape.heads);
        const index length = random.integer(1, 100);
        check_modifier<T>(heed::kerple_power(kerple.r1, kerple.r2, length), shape,
                          kerple.power(shape), 10, random);
        check_modifier<T>(heed::kerple_log(kerple.r1, kerple.r2, length), shape, kerple.log(shape),
                          10, random);

        const Eigen::VectorXd factors = heed::sandwich_factors<double>(shape.heads);
        check_modifier<T>(heed::sandwich(factors, length, {.dim = 24}), shape,
                          reference::by_distance(
                              [&](index h, double distance) {
                                  return factors(h) * reference::sandwich(distance, 24);
                              },
                              shape.queries, shape.keys),
                          10, random);
    }
}

TEMPLATE_TEST_CASE("biases of distance at positions of one's own", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const std::vector<double> r1{0.5}, r2{2};
    const auto log = heed::kerple_log(r1, r2, 50);
    Eigen::MatrixXd table(8, 1);
    table << 0, 1, 2, 3, 4, 5, 6, 7;
    const auto t5 = heed::t5_bias(table, {.max_distance = 10});
    Eigen::MatrixXd distances(7, 1);
    distances << -3, -2, -1, 0, 1, 2, 3;
    const auto relative = heed::relative_bias(distances);
    const heed::query_row here{.position = 1000, .fraction = 0.5};
    std::vector<T> offsets(static_cast<std::size_t>(heed::vec<T>::size));
    for (std::size_t l = 0; l < offsets.size(); ++l)
        offsets[l] = static_cast<T>((l * 5) % 7) * T(100.25);
    const heed::key_lanes<T> keys{0, heed::vec<T>::size, {990, heed::vec<T>::load(offsets.data())}};
    const auto of_log = numbers(log.template on_row<T>(here)(heed::vec<T>(T(1)), keys));
    const auto of_t5 = numbers(t5.template on_row<T>(here)(heed::vec<T>(T(0)), keys));
    const auto of_relative = numbers(relative.template on_row<T>(here)(heed::vec<T>(T(0)), keys));
    for (std::size_t l = 0; l < offsets.size(); ++l) {
        const double distance = 990 + static_cast<double>(offsets[l]) - 1000.5;
        CHECK(static_cast<double>(of_log[l]) ==
              Approx(1 + reference::kerple_log(0.5, 2, distance)).epsilon(8 * epsilon<T>));
        // Distances are −10.5, 89.75 and more.
        CHECK(of_t5[l] == (distance < 0 ? 3 : 7));
        CHECK(of_relative[l] == (distance < 0 ? 3 : -3));
    }
}

TEST_CASE("the factors of Sandwich are the paper's") {
    const auto eight = heed::sandwich_factors<double>(8);
    for (index h = 0; h < 8; ++h) CHECK(eight(h) == 1 / static_cast<double>(h + 1));
    CHECK(heed::sandwich_factors(16)(0) == 2);
    CHECK(heed::sandwich_factors(16)(15) == 0.125f);
}

/// (L(x + step) − L(x − step))/(2·step), L a sum over scores that depends on the number x.
template <class Make>
double slope(const weighted_scores& all, double& x, const Make& make) {
    const double at = x, step = 1e-5;
    x = at + step;
    const double up = all.loss(make());
    x = at - step;
    const double down = all.loss(make());
    x = at;
    return (up - down) / (2 * step);
}

TEMPLATE_TEST_CASE("the gradients of what biases of distance learn are central differences", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const double tolerance = std::is_same_v<T, float> ? 4e-6 : 1e-8;
    generator random(72);
    for (int round = 0; round < 8; ++round) {
        auto shape = random_shape(random);
        if (round % 3 == 0) shape.keys += 300;
        const weighted_scores all(shape, random);

        auto table = random_table(random, 8, shape.heads);
        const bool bidirectional = random.chance(0.5);
        const auto make_t5 = [&] { return t5(table, bidirectional, 20, shape); };
        const auto by_table = all.gradient<T>(
            heed::t5_bias(table, {.bidirectional = bidirectional, .max_distance = 20}));
        STATIC_REQUIRE(std::is_same_v<std::remove_cvref_t<decltype(by_table)>, Eigen::MatrixXd>);
        REQUIRE(by_table.size() == table.size());
        for (index e = 0; e < table.size(); ++e)
            CHECK(std::abs(by_table.data()[e] - slope(all, table.data()[e], make_t5)) <=
                  tolerance * (1 + all.loss(make_t5(), true)));

        auto clipped = random_table(random, 7, random.chance(0.5) ? 1 : shape.heads);
        const auto make_relative = [&] { return relative(clipped, shape); };
        const auto by_clipped = all.gradient<T>(heed::relative_bias(clipped));
        REQUIRE(by_clipped.size() == clipped.size());
        for (index e = 0; e < clipped.size(); ++e)
            CHECK(std::abs(by_clipped.data()[e] - slope(all, clipped.data()[e], make_relative)) <=
                  tolerance * (1 + all.loss(make_relative(), true)));

        kerple_parameters kerple(random, shape.heads);
        const index length = random.integer(1, 100);
        const auto check = [&](const auto& gradient, const auto& make) {
            REQUIRE(gradient.rows() == shape.heads);
            for (index h = 0; h < shape.heads; ++h) {
                const auto head = static_cast<std::size_t>(h);
                const double bound = tolerance * (1 + all.loss(make(), true));
                CHECK(std::abs(static_cast<double>(gradient(h, 0)) -
                               slope(all, kerple.r1[head], make)) <= bound);
                CHECK(std::abs(static_cast<double>(gradient(h, 1)) -
                               slope(all, kerple.r2[head], make)) <= bound);
            }
        };
        check(all.gradient<T>(heed::kerple_power(kerple.r1, kerple.r2, length)),
              [&] { return kerple.power(shape); });
        check(all.gradient<T>(heed::kerple_log(kerple.r1, kerple.r2, length)),
              [&] { return kerple.log(shape); });
    }
}

TEST_CASE("biases of distance refuse what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    const auto check_call = [&](const auto& modifier) { modifier.check(shape); };
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();

    const Eigen::MatrixXf three(8, 3), odd(5, 4), good = Eigen::MatrixXf::Zero(8, 4);
    CHECK_NOTHROW(check_call(heed::t5_bias(good)));
    CHECK_THROWS_AS(check_call(heed::t5_bias(three)), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::t5_bias(three)),
                      "heed::t5_bias: the table has shape [8, 3], but there are 4 query heads");
    CHECK_THROWS_WITH(heed::t5_bias(odd),
                      "heed::t5_bias: the table has 5 buckets, but must have an even number, 4 or "
                      "more");
    CHECK_NOTHROW(heed::t5_bias(odd, {.bidirectional = false}));
    CHECK_THROWS_WITH(heed::t5_bias(good, {.max_distance = 2}),
                      "heed::t5_bias: max_distance is 2, but must be above 2, the number of exact "
                      "distances, and at most 2^24");

    const Eigen::MatrixXf for_all = Eigen::MatrixXf::Zero(5, 1);
    CHECK_NOTHROW(check_call(heed::relative_bias(for_all)));
    CHECK_THROWS_WITH(check_call(heed::relative_bias(three.topRows(7))),
                      "heed::relative_bias: the table has shape [7, 3], but there are 4 query "
                      "heads");
    CHECK_THROWS_AS(heed::relative_bias(good), heed::shape_error);
    CHECK_THROWS_WITH(heed::relative_bias(good),
                      "heed::relative_bias: the table has 8 distances, but must have an odd number "
                      "below 2^24: as many before the query as behind it, and its own");
    CHECK_THROWS_WITH(heed::relative_bias(Eigen::MatrixXf(5, 0)),
                      "heed::relative_bias: the table has shape [5, 0], but must have a column a "
                      "query head, or one for all");

    const std::vector<double> one{1}, two{1, 2}, bad{1, nan}, zero{0};
    CHECK_THROWS_AS(heed::kerple_log(one, two, 8), heed::shape_error);
    CHECK_THROWS_WITH(heed::kerple_log(one, two, 8),
                      "heed::kerple_log has 1 values of r1, but 2 of r2");
    CHECK_THROWS_AS(heed::kerple_power(two, bad, 8), heed::argument_error);
    CHECK_THROWS_WITH(heed::kerple_power(one, zero, 8),
                      "heed::kerple_power: r2 of head 0 is 0, but must be above 0 and at most 2");
    CHECK_THROWS_AS(heed::kerple_power(one, std::vector<double>{2.5}, 8), heed::argument_error);
    CHECK_NOTHROW(heed::kerple_log(one, std::vector<double>{2.5}, 8));
    CHECK_THROWS_WITH(heed::kerple_log(std::vector<double>{-1}, one, 8),
                      "heed::kerple_log: r1 of head 0 is -1, but must be at least 0 and finite");
    CHECK_THROWS_WITH(heed::kerple_log(one, one, 0),
                      "heed::kerple_log: the length is 0, but must lie between 1 and 2^24");
    CHECK_THROWS_WITH(check_call(heed::kerple_log(two, two, 8)),
                      "heed::kerple_log has parameters for 2 heads, but there are 4 query heads");

    CHECK_THROWS_WITH(heed::sandwich(one, 8, {.dim = 5}),
                      "heed::sandwich: dim is 5, but must be even and at least 2");
    CHECK_THROWS_AS(heed::sandwich(one, 8, {.base = 1}), heed::argument_error);
    CHECK_THROWS_WITH(heed::sandwich(bad, 8),
                      "heed::sandwich: the factor of head 1 is nan, but must be finite");
    CHECK_THROWS_AS(check_call(heed::sandwich(one, 8)), heed::shape_error);
    CHECK_THROWS_AS(heed::sandwich_factors(0), heed::argument_error);
    CHECK_THROWS_AS(heed::sandwich_factors(std::numeric_limits<std::uint64_t>::max()),
                    heed::argument_error);
}

TEST_CASE("gradients of biases of distance must have their shapes") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    const Eigen::MatrixXf table = Eigen::MatrixXf::Zero(8, 4);
    Eigen::MatrixXf wrong(4, 3);
    const Eigen::VectorXf ones = Eigen::VectorXf::Ones(4);
    const auto view = heed::detail::view_of(wrong);
    const auto t5 = heed::t5_bias(table);
    const auto kerple = heed::kerple_log(ones, ones, 8);
    CHECK_THROWS_AS(t5.check_gradient(view, shape), heed::shape_error);
    CHECK_THROWS_WITH(t5.check_gradient(view, shape),
                      "the gradient of heed::t5_bias has shape [4, 3], but the table has [8, 4]");
    CHECK_THROWS_WITH(kerple.check_gradient(view, shape),
                      "the gradient of heed::kerple_log has shape [4, 3], but must have [4, 2]");
    CHECK_THROWS_WITH(heed::relative_bias(Eigen::MatrixXf::Zero(5, 4)).check_gradient(view, shape),
                      "the gradient of heed::relative_bias has shape [4, 3], but the table has "
                      "[5, 4]");
    auto good = kerple.make_gradient<float>(shape);
    CHECK_NOTHROW(kerple.check_gradient(heed::detail::view_of(good), shape));
}

}  // namespace test_distance_biases
