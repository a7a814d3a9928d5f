#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_modifiers {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// x, summed over the axes on which `shape` has the extent 1.
reference::tensor sum_to(const reference::tensor& x, const std::array<index, 4>& shape) {
    reference::tensor sum(shape[0], shape[1], shape[2], shape[3]);
    for_each_row(x, [&](index b, index h, index i) {
        for (index j = 0; j < x.columns(); ++j)
            sum(shape[0] == 1 ? 0 : b, shape[1] == 1 ? 0 : h, shape[2] == 1 ? 0 : i,
                shape[3] == 1 ? 0 : j) += x(b, h, i, j);
    });
    return sum;
}

TEST_CASE("a learned bias, however it is broadcast") {
    for_problems(31, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const auto or_one = [&](index extent) { return random.chance(0.4) ? 1 : extent; };
        const std::array<index, 4> shape{or_one(e.batch), or_one(e.heads), or_one(e.queries),
                                         or_one(e.keys)};
        INFO("bias " << shape[0] << ", " << shape[1] << ", " << shape[2] << ", " << shape[3]);
        const auto values = random_numbers(random, shape[0], shape[1], shape[2], shape[3]);
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        how.modifiers = {reference::bias(values)};

        const auto bias32 = to_tensor<float>(values);
        const auto result = check_against_reference<float>(from, how, heed::causal,
                                                           heed::learn(heed::bias(bias32)));
        check_within<float>("db", to_reference(result.gradient.template of<0>(), values),
                            sum_to(result.exact_gradient.scores[1], shape),
                            sum_to(result.bounds.scores[1], shape));

        auto bias64 = to_tensor<double>(values);
        const auto part = heed::learn(heed::bias(bias64));
        const auto exact = check_against_reference<double>(from, how, heed::causal, part);
        check_within<double>("db", to_reference(exact.gradient.template of<0>(), values),
                             sum_to(exact.exact_gradient.scores[1], shape),
                             sum_to(exact.bounds.scores[1], shape));
        inputs<double> in(from);
        const auto gradient = check_differences(random, in, heed::causal, part);
        check_slopes(
            "db by differences", random, 12, bias64, gradient.template of<0>(),
            [&] { return loss_of(in, heed::causal, part); }, largest_of(gradient));
    });
}

TEST_CASE("a bias of other ranks and storage orders") {
    generator random(32);
    extents e = random_extents(random);
    e.batch = 2;
    const problem from(random, e);
    reference::options how;
    const auto matrix = random_numbers(random, 1, 1, e.queries, e.keys);
    how.modifiers = {reference::bias(matrix)};
    Eigen::MatrixXf columns(e.queries, e.keys);
    for (index i = 0; i < e.queries; ++i)
        for (index j = 0; j < e.keys; ++j) columns(i, j) = static_cast<float>(matrix(0, 0, i, j));
    const auto result = check_against_reference<float>(from, how, heed::learn(heed::bias(columns)));
    const auto expected = sum_to(result.exact_gradient.scores[1], {1, 1, e.queries, e.keys});
    const auto bound = sum_to(result.bounds.scores[1], {1, 1, e.queries, e.keys});
    reference::tensor gradient = zeros_like(matrix);
    const Eigen::MatrixXf& heeds = result.gradient.template of<0>();
    for (index i = 0; i < e.queries; ++i)
        for (index j = 0; j < e.keys; ++j) gradient(0, 0, i, j) = static_cast<double>(heeds(i, j));
    check_within<float>("db", gradient, expected, bound);

    const auto of_heads = random_numbers(random, 1, e.heads, e.queries, e.keys);
    how.modifiers = {reference::bias(of_heads)};
    Eigen::Tensor<double, 3> rank3(e.heads, e.queries, e.keys);  // column-major
    for (index h = 0; h < e.heads; ++h)
        for (index i = 0; i < e.queries; ++i)
            for (index j = 0; j < e.keys; ++j) rank3(h, i, j) = of_heads(0, h, i, j);
    check_against_reference<double>(from, how, heed::bias(rank3));
}

TEST_CASE("learned slopes of ALiBi") {
    for_problems(33, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        std::vector<double> slopes;
        for (index h = 0; h < e.heads; ++h)
            slopes.push_back(static_cast<double>(static_cast<float>(random.uniform(0.01, 0.3))));
        how.modifiers = {reference::alibi(slopes, e.queries, e.keys)};

        const auto check = [&](const auto& result) {
            for (index h = 0; h < e.heads; ++h) {
                double sum = 0, bound = 0;
                for (index b = 0; b < e.batch; ++b) {
                    for (index i = 0; i < e.queries; ++i) {
                        for (index j = 0; j < e.keys; ++j) {
                            const auto distance =
                                static_cast<double>(std::abs(i + e.keys - e.queries - j));
                            sum -= distance * result.exact_gradient.scores[1](b, h, i, j);
                            bound += distance * result.bounds.scores[1](b, h, i, j);
                        }
                    }
                }
                CHECK(std::abs(static_cast<double>(result.gradient.template of<0>()(h)) - sum) <=
                      bound);
            }
        };
        check(check_against_reference<float>(from, how, heed::learn(heed::alibi(slopes)),
                                             heed::causal));
        check(check_against_reference<double>(from, how, heed::learn(heed::alibi(slopes)),
                                              heed::causal));

        // Bidirectional, and by differences.
        inputs<double> in(from);
        Eigen::VectorXd learned = Eigen::Map<Eigen::VectorXd>(slopes.data(), e.heads);
        const auto part = heed::learn(heed::alibi(learned));
        const auto gradient = check_differences(random, in, part);
        check_slopes(
            "dslopes", random, e.heads, learned, gradient.template of<0>(),
            [&] { return loss_of(in, part); }, largest_of(gradient));
    });
}

TEST_CASE("a learned soft cap") {
    for_problems(34, [](generator& random, const problem& from) {
        const double cap = random.one_of({0.5, 2.0, 30.0});
        reference::options how;
        how.modifiers = {reference::soft_cap(cap)};
        const auto check = [&](const auto& result) {
            double sum = 0, bound = 0;
            for_each_row(from.q, [&](index b, index h, index i) {
                for (index j = 0; j < from.sizes.keys; ++j) {
                    const double x = result.exact.scores[0](b, h, i, j) / cap;
                    const double t = std::tanh(x);
                    sum += (t - x * (1 - t * t)) * result.exact_gradient.scores[1](b, h, i, j);
                    // tanh x − x(1 − tanh²x) is known to a few times the rounding of tanh x.
                    bound += 2 * std::abs(t) * result.bounds.scores[1](b, h, i, j);
                }
            });
            CHECK(std::abs(static_cast<double>(result.gradient.template of<0>()(0)) - sum) <=
                  bound);
        };
        const auto part = heed::learn(heed::soft_cap(cap));
        check(check_against_reference<float>(from, how, part));
        check(check_against_reference<double>(from, how, part));

        inputs<double> in(from);
        const auto gradient = check_differences(random, in, part);
        Eigen::Matrix<double, 1, 1> c(cap);
        check_slopes(
            "dcap", random, 1, c, gradient.template of<0>(),
            [&] { return loss_of(in, heed::learn(heed::soft_cap(c(0)))); }, largest_of(gradient));
    });
}

TEST_CASE("the user's modifiers") {
    for_problems(35, [](generator& random, const problem& from) {
        const index shift = from.sizes.keys - from.sizes.queries;
        reference::options how;
        // Powers of two: a float's 0.1 would not be 0.1.
        how.modifiers = {{[](double s, index, index, index, index) { return s + 0.125 * s * s; },
                          [](double s, index, index, index, index) { return 1 + 0.25 * s; }}};
        check_all(random, from, how,
                  heed::modifier(
                      [](auto s) {
                          using V = decltype(s);
                          return s + V(0.125f) * s * s;
                      },
                      [](auto s) {
                          using V = decltype(s);
                          return V(1.0f) + V(0.25f) * s;
                      }));

        how.modifiers = {{[=](double s, index, index, index i, index j) {
                              const auto d = static_cast<double>(i + shift - j);
                              return s / (1 + 0.25 * std::abs(d));
                          },
                          [=](double, index, index, index i, index j) {
                              const auto d = static_cast<double>(i + shift - j);
                              return 1 / (1 + 0.25 * std::abs(d));
                          }}};
        check_all(random, from, how,
                  heed::modifier(
                      [](auto s, auto i, auto j) {
                          using V = decltype(s);
                          return s / (V(1.0f) + V(0.25f) * abs(i - j));
                      },
                      [](auto s, auto i, auto j) {
                          using V = decltype(s);
                          return V(1.0f) / (V(1.0f) + V(0.25f) * abs(i - j));
                      }));

        how.modifiers = {{[=](double s, index b, index h, index i, index j) {
                              return s * static_cast<double>(1 + b + h + (i + shift + j) % 2);
                          },
                          [=](double, index b, index h, index i, index j) {
                              return static_cast<double>(1 + b + h + (i + shift + j) % 2);
                          }}};
        const auto factor = [](index b, index h, index i, index j) {
            return 1 + b + h + (i + j) % 2;
        };
        check_all(random, from, how,
                  heed::modifier(heed::scalar([=](auto s, index b, index h, index i, index j) {
                                     return s * static_cast<decltype(s)>(factor(b, h, i, j));
                                 }),
                                 heed::scalar([=](auto s, index b, index h, index i, index j) {
                                     return static_cast<decltype(s)>(factor(b, h, i, j));
                                 })));
    });
}

}  // namespace test_attention_modifiers
