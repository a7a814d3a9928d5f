#include <cmath>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/kerple.hpp>
#include <heed/attention/modifiers/relative_bias.hpp>
#include <heed/attention/modifiers/t5_bias.hpp>
#include <heed/attention/positions.hpp>
#include <heed/rope/rotary_bias.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

// What the biases are is tested beside; here, that attention has them, and their gradients.

namespace test_attention_distance_biases {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("attention with T5's table, learned") {
    for_problems(101, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const bool bidirectional = random.chance(0.5);
        const auto values = random_numbers(random, 1, 1, 12, e.heads);
        Eigen::Matrix<float, -1, -1, Eigen::RowMajor> table(12, e.heads);
        for (index x = 0; x < table.size(); ++x)
            table.data()[x] = static_cast<float>(values.values[static_cast<std::size_t>(x)]);
        const auto bucket = [=](double distance) {
            return reference::t5_bucket(static_cast<index>(distance), bidirectional, 12, 50);
        };
        reference::options how;
        how.modifiers = {reference::by_distance(
            [=](index h, double distance) { return values(0, 0, bucket(distance), h); }, e.queries,
            e.keys)};
        const auto result = check_against_reference<float>(
            from, how,
            heed::learn(
                heed::t5_bias(table, {.bidirectional = bidirectional, .max_distance = 50})));

        auto sum = zeros_like(values), bound = zeros_like(values);
        for_each_row(from.q, [&](index b, index h, index i) {
            for (index j = 0; j < e.keys; ++j) {
                const index own = bucket(static_cast<double>(j - (i + e.keys - e.queries)));
                sum(0, 0, own, h) += result.exact_gradient.scores[1](b, h, i, j);
                bound(0, 0, own, h) += result.bounds.scores[1](b, h, i, j);
            }
        });
        check_within<float>("dtable", to_reference(result.gradient.template of<0>(), values), sum,
                            bound);
    });
}

TEST_CASE("attention with a learned table of distances") {
    for_problems(105, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index reach = random.one_of<index>({0, 3, 90});
        Eigen::MatrixXd table(2 * reach + 1, random.chance(0.5) ? 1 : e.heads);
        random.fill_normal(table);
        inputs<double> in(from);
        const auto part = [&] { return heed::learn(heed::relative_bias(table)); };
        const auto gradient = check_differences(random, in, heed::causal, part());
        check_slopes(
            "dtable", random, 12, table, gradient.template of<0>(),
            [&] { return loss_of(in, heed::causal, part()); }, largest_of(gradient));
    });
}

TEST_CASE("attention with learned KERPLE, where its keys stand or at positions of one's own") {
    for_problems(102, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        Eigen::MatrixXd r(e.heads, 2);
        for (index x = 0; x < r.size(); ++x) r.data()[x] = random.uniform(0.1, 1.5);
        const index length = random.one_of<index>({1, 64, 2000});
        const auto part = [&] { return heed::learn(heed::kerple_log(r.col(0), r.col(1), length)); };
        std::vector<double> queries, keys;
        for (index i = 0; i < e.queries; ++i) queries.push_back(random.uniform(0, 300));
        for (index j = 0; j < e.keys; ++j)
            keys.push_back(random.chance(0.5) ? static_cast<double>(j) : random.uniform(0, 300));

        inputs<double> in(from);
        const auto check = [&](const auto&... others) {
            const auto gradient = check_differences(random, in, part(), others...);
            check_slopes(
                "dr", random, 8, r, gradient.template of<0>(),
                [&] { return loss_of(in, part(), others...); }, largest_of(gradient));
        };
        check(heed::causal);
        check(heed::positions(queries, keys));
    });
}

TEST_CASE("attention with a learned rotary bias") {
    for_problems(103, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const auto rope = heed::rope::plain({.dim = 10});
        Eigen::Tensor<double, 3, Eigen::RowMajor> ab(2, e.heads, 10);
        random.fill_normal(ab, 0.5);
        const auto part = [&] {
            const Eigen::Tensor<double, 2, Eigen::RowMajor> a = ab.chip(0, 0), b = ab.chip(1, 0);
            return heed::learn(heed::rotary_bias(a, b, rope, 2000));
        };
        inputs<double> in(from);
        const auto gradient = check_differences(random, in, part());
        check_slopes(
            "da and db", random, 12, ab, gradient.template of<0>(),
            [&] { return loss_of(in, part()); }, largest_of(gradient));
    });
}

TEST_CASE("what biases of distance learn has the same bits for any number of threads") {
    generator random(104);
    const inputs<float> in(problem(random, {2, 3, 3, 300, 1100, 8, 8}));
    const Eigen::VectorXf ones = Eigen::VectorXf::Ones(3);
    const auto part = heed::learn(heed::kerple_log(ones, ones, 900));
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part);
    for (const int workers : {1, 4}) {
        Eigen::ThreadPool pool(workers);
        const auto threaded =
            heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, part, always_on(pool));
        CHECK(same_bits(gradient.q, threaded.q));
        CHECK(same_bits(gradient.of<0>(), threaded.of<0>()));
    }
}

}  // namespace test_attention_distance_biases
