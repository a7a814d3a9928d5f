#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/noise.hpp>
#include <heed/attention/scales/scale.hpp>

#include "attention/modifiers/modifier_checks.hpp"
#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"

namespace test_noise {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// The noise alone: what becomes of scores of 0, [batch, head, query, key].
template <class T, class Modifier>
reference::tensor noise_of(const Modifier& modifier, const heed::attention_shape& shape) {
    reference::tensor noise(shape.batch, shape.heads, shape.queries, shape.keys);
    for_each_row(shape, [&](const heed::query_row& row) {
        const auto on_row = modifier.template on_row<T>(row);
        for (index first = 0; first < shape.keys; first += heed::vec<T>::size) {
            const auto keys = keys_at<T>(shape, first);
            const auto out = numbers(on_row(heed::vec<T>(T(0)), keys));
            for (index l = 0; l < keys.count; ++l)
                noise(row.batch, row.head, row.query, first + l) =
                    static_cast<double>(out[static_cast<std::size_t>(l)]);
        }
    });
    return noise;
}

double mean_of_power(const reference::tensor& x, int power) {
    double sum = 0;
    for (const double e : x.values) sum += std::pow(e, power);
    return sum / static_cast<double>(x.values.size());
}

constexpr heed::attention_shape large{2, 3, 3, 100, 120, 8, 8};

TEMPLATE_TEST_CASE("noise has its distribution", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const std::vector<int> ids{0, 1};
    const auto normal = noise_of<T>(heed::normal_noise(1.5, 7, ids), large);
    // 72000 numbers: five standard errors.
    CHECK(std::abs(mean_of_power(normal, 1)) < 5 * 1.5 / 268);
    CHECK(mean_of_power(normal, 2) == Approx(2.25).epsilon(5 * 1.42 / 268));
    CHECK(mean_of_power(normal, 4) == Approx(3 * 2.25 * 2.25).epsilon(5 * 3.3 / 268));

    const auto uniform = noise_of<T>(heed::uniform_noise(-1, 3, 7, ids), large);
    CHECK(mean_of_power(uniform, 1) == Approx(1).epsilon(5 * 1.16 / 268));
    CHECK(mean_of_power(uniform, 2) == Approx(1 + 16 / 12.0).epsilon(5 * 1.2 / 268));
    CHECK(*std::min_element(uniform.values.begin(), uniform.values.end()) >= -1);
    CHECK(*std::max_element(uniform.values.begin(), uniform.values.end()) <= 3);

    // Mean Euler's constant, variance π²/6, fourth central moment 27/5 of the variance squared.
    const auto gumbel = noise_of<T>(heed::gumbel_noise(7, ids), large);
    const double mean = mean_of_power(gumbel, 1), variance = std::pow(3.141592653589793, 2) / 6;
    CHECK(mean == Approx(0.5772156649).margin(5 * std::sqrt(variance) / 268));
    CHECK(mean_of_power(gumbel, 2) - mean * mean == Approx(variance).epsilon(5 * 2.1 / 268));
}

TEST_CASE("attention under Gumbel noise is a sample of softmax attention") {
    // One query, whose scores are the rows of k: how often a cold softmax chooses each key.
    constexpr index keys = 5, draws = 4000;
    constexpr double scores[keys] = {0, 1, -1, 2, 0.5};
    tensor4<float> q(1, draws, 1, 1), k(1, 1, keys, 1), v(1, 1, keys, keys);
    q.setConstant(1);
    v.setZero();
    double sum = 0;
    for (index j = 0; j < keys; ++j) {
        k(0, 0, j, 0) = static_cast<float>(scores[j]);
        v(0, 0, j, j) = 1;
        sum += std::exp(scores[j]);
    }
    const auto o = heed::attention(q, k, v, heed::scale(1), heed::gumbel_noise(5),
                                   heed::softmax.temperature(1e-3));
    for (index j = 0; j < keys; ++j) {
        double chosen = 0;
        for (index h = 0; h < draws; ++h) chosen += static_cast<double>(o(0, h, 0, j));
        const double p = std::exp(scores[j]) / sum;
        INFO("key " << j);
        CHECK(chosen / draws == Approx(p).margin(5 * std::sqrt(p * (1 - p) / draws)));
    }
}

TEST_CASE("neighbours in noise know nothing of each other") {
    const auto x = noise_of<double>(heed::normal_noise(1, 3, std::vector<int>{0, 1}), large);
    const auto correlation = [&](index b, index h, index i, index j) {
        double sum = 0;
        index count = 0;
        for_each_row(x, [&](index batch, index head, index query) {
            if (batch + b >= large.batch || head + h >= large.heads || query + i >= large.queries)
                return;
            for (index key = 0; key + j < large.keys; ++key, ++count)
                sum += x(batch, head, query, key) * x(batch + b, head + h, query + i, key + j);
        });
        return sum / std::sqrt(static_cast<double>(count));  // of deviation 1
    };
    CHECK(std::abs(correlation(0, 0, 0, 1)) < 5);
    CHECK(std::abs(correlation(0, 0, 1, 0)) < 5);
    CHECK(std::abs(correlation(0, 1, 0, 0)) < 5);
    CHECK(std::abs(correlation(1, 0, 0, 0)) < 5);
    const auto other = noise_of<double>(heed::normal_noise(1, 4, std::vector<int>{0, 1}), large);
    double sum = 0;
    for (std::size_t e = 0; e < x.values.size(); ++e) sum += x.values[e] * other.values[e];
    CHECK(std::abs(sum / std::sqrt(static_cast<double>(x.values.size()))) < 5);
}

TEST_CASE("a sequence's noise goes with its id, not with its place") {
    const std::vector<int> ids{5, 9}, exchanged{9, 5};
    const auto x = noise_of<float>(heed::uniform_noise(0, 1, 1, ids), large);
    const auto y = noise_of<float>(heed::uniform_noise(0, 1, 1, exchanged), large);
    const auto same = noise_of<float>(heed::uniform_noise(0, 1, 1), large);
    index wrong = 0;
    for_each_row(x, [&](index b, index h, index i) {
        for (index j = 0; j < large.keys; ++j) {
            if (x(b, h, i, j) != y(1 - b, h, i, j)) ++wrong;
            if (same(b, h, i, j) != same(0, h, i, j)) ++wrong;
        }
    });
    CHECK(wrong == 0);
}

TEST_CASE("attention under noise: the same in chunks, elsewhere in the batch, and backward") {
    generator random(81);
    const inputs<float> in(problem(random, {2, 2, 2, 70, 70, 8, 8}));
    const std::vector<int> ids{5, 9};
    const auto noise = heed::normal_noise(2, 11, ids);
    const auto whole = heed::attention(in.q, in.k, in.v, heed::causal, noise);

    // The second sequence alone, its last 13 queries.
    const Eigen::array<Eigen::Index, 4> from{1, 0, 57, 0}, size{1, 2, 13, 8};
    const Eigen::array<Eigen::Index, 4> of_keys{1, 0, 0, 0}, all_keys{1, 2, 70, 8};
    const tensor4<float> q = in.q.slice(from, size);
    const tensor4<float> k = in.k.slice(of_keys, all_keys), v = in.v.slice(of_keys, all_keys);
    const auto part =
        heed::attention(q, k, v, heed::causal, heed::normal_noise(2, 11, std::vector<int>{9}));
    const tensor4<float> expected = whole.slice(from, size);
    CHECK(same_bits(part, expected));
    CHECK_FALSE(same_bits(whole, heed::attention(in.q, in.k, in.v, heed::causal)));

    // Backward draws the same noise again: with it as a bias, the same gradients.
    const reference::tensor drawn = noise_of<float>(noise, {2, 2, 2, 70, 70, 8, 8});
    const auto check = [&](const auto& a, const auto& b) { CHECK(same_bits(a, b)); };
    const auto table = to_tensor<float>(drawn);
    const auto by_bias = heed::modifier(
        [&](auto s, index b, index h, auto i, auto j) {
            using V = decltype(s);
            const float* at = &table(b, h, i.base, j.base);
            return s + V::load_partial(at, 70 - j.base);
        },
        [](auto) { return 1; });
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, noise);
    const auto [p, its_stats] = heed::attention_forward(in.q, in.k, in.v, by_bias);
    check(o, p);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, noise);
    const auto its_gradient =
        heed::attention_backward(in.d_o, p, its_stats, in.q, in.k, in.v, by_bias);
    check(gradient.q, its_gradient.q);
    check(gradient.k, its_gradient.k);
    check(gradient.v, its_gradient.v);
}

TEST_CASE("noise refuses what does not fit") {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(heed::normal_noise(-1, 0), heed::argument_error);
    CHECK_THROWS_WITH(heed::normal_noise(nan, 0),
                      "heed::normal_noise: the deviation is nan, but must be at least 0 and "
                      "finite");
    CHECK_THROWS_WITH(heed::uniform_noise(2, 1, 0),
                      "heed::uniform_noise: the ends are 2 and 1, but must be finite, and the "
                      "first not above the second");
    const auto three = heed::normal_noise(1, 0, std::vector<int>{1, 2, 3});
    CHECK_THROWS_AS(three.check(large), heed::shape_error);
    CHECK_THROWS_WITH(three.check(large),
                      "heed::normal_noise has 3 sequence ids, but the batch has 2 sequences");
}

}  // namespace test_noise
