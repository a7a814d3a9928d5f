#include <algorithm>
#include <cmath>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/relative_scores.hpp>
#include <heed/attention/positions.hpp>
#include <heed/projection/project.hpp>
#include <heed/projection/project_backward.hpp>
#include <heed/projection/weights.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/caches/cache_check.hpp"
#include "attention/modifiers/modifier_checks.hpp"
#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_relative_scores {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// clip(j − i, −R, R) + R, query i standing at i + M − N.
index column(index i, index j, index queries, index keys, index reach) {
    return std::clamp(j - (i + keys - queries), -reach, reach) + reach;
}

/// s + t[b, h, i, clip(j − i, −R, R) + R], a batch or heads of 1 serving all.
reference::modifier relative(const reference::tensor& t, index queries, index keys) {
    const auto value = [=](double s, index b, index h, index i, index j) {
        return s + t(t.batches() == 1 ? 0 : b, t.heads() == 1 ? 0 : h, i,
                     column(i, j, queries, keys, t.columns() / 2));
    };
    return {value, [](double, index, index, index, index) { return 1.0; }};
}

template <class T, int Order = Eigen::RowMajor>
auto as_tensor(const reference::tensor& from) {
    Eigen::Tensor<T, 4, Order> to(from.batches(), from.heads(), from.rows(), from.columns());
    for_each_row(from, [&](index b, index h, index i) {
        for (index c = 0; c < from.columns(); ++c)
            to(b, h, i, c) = static_cast<T>(from(b, h, i, c));
    });
    return to;
}

/// Σ of x over the keys of each column.
reference::tensor sum_by_column(const reference::tensor& x, index reach) {
    reference::tensor sum(x.batches(), x.heads(), x.rows(), 2 * reach + 1);
    for_each_row(x, [&](index b, index h, index i) {
        for (index j = 0; j < x.columns(); ++j)
            sum(b, h, i, column(i, j, x.rows(), x.columns(), reach)) += x(b, h, i, j);
    });
    return sum;
}

TEMPLATE_TEST_CASE("relative scores and their gradients are their definitions", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(121);
    for (int round = 0; round < 12; ++round) {
        auto shape = random_shape(random);
        if (round % 3 == 0) shape.keys += 300;
        const index reach = random.one_of<index>({0, 1, 5, 16, 40, 90});
        const auto t =
            random_numbers(random, random.chance(0.5) ? 1 : shape.batch,
                           random.chance(0.5) ? 1 : shape.heads, shape.queries, 2 * reach + 1);
        const auto expected = relative(t, shape.queries, shape.keys);
        check_modifier<T>(heed::relative_scores(as_tensor<T>(t)), shape, expected, 1, random);
        check_modifier<T>(heed::relative_scores(as_tensor<T, Eigen::ColMajor>(t)), shape, expected,
                          1, random);

        const weighted_scores all(shape, random);
        const reference::tensor zero(shape.batch, shape.heads, shape.queries, 2 * reach + 1);
        auto absolute = all.weights;
        for (double& w : absolute.values) w = std::abs(w);
        const auto sum = sum_by_column(all.weights, reach);
        auto bound = sum_by_column(absolute, reach);
        for (double& b : bound.values) b *= 4 * epsilon<T>;
        const auto check = [&](const auto& gradient) {
            check_within<T>("dt", as_reference(gradient), sum, bound);
        };
        check(all.gradient<T>(heed::relative_scores(as_tensor<T>(zero))));
        check(all.gradient<T>(heed::relative_scores(as_tensor<T, Eigen::ColMajor>(zero))));
    }
}

TEST_CASE("attention with learned relative scores is the reference's") {
    for_problems(122, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index reach = random.one_of<index>({0, 3, 20, 90});
        const auto t = random_numbers(random, e.batch, e.heads, e.queries, 2 * reach + 1);
        reference::options how;
        how.modifiers = {relative(t, e.queries, e.keys)};
        const auto values = as_tensor<float>(t);
        const auto result =
            check_against_reference<float>(from, how, heed::learn(heed::relative_scores(values)));
        check_within<float>("dt", to_reference(result.gradient.template of<0>(), t),
                            sum_by_column(result.exact_gradient.scores[1], reach),
                            sum_by_column(result.bounds.scores[1], reach));
    });
}

/// Shaw's attention as the page has it: c·q_i·r_(j − i) beside c·q_i·k_j.
struct relative_keys {
    inputs<double> in;
    Eigen::MatrixXd r;  // [2R + 1, dim]
    double c;

    auto scores() const { return heed::project(in.q, heed::weights(c * r)); }
    double loss() const { return loss_of(in, heed::causal, heed::relative_scores(scores())); }
};

TEST_CASE("Shaw's relative keys are their definition, with the gradients of q and r") {
    for_problems(123, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index reach = random.one_of<index>({0, 2, 17});
        relative_keys shaw{inputs<double>(from), Eigen::MatrixXd(2 * reach + 1, e.dim),
                           1 / std::sqrt(static_cast<double>(e.dim))};
        random.fill_normal(shaw.r);
        const auto part = heed::learn(heed::relative_scores(shaw.scores()));
        const auto [o, stats] =
            heed::attention_forward(shaw.in.q, shaw.in.k, shaw.in.v, heed::causal, part);

        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        const auto by_hand = [&](double s, index b, index h, index i, index j) {
            for (index x = 0; x < e.dim; ++x)
                s +=
                    shaw.c * from.q(b, h, i, x) * shaw.r(column(i, j, e.queries, e.keys, reach), x);
            return s;
        };
        how.modifiers = {{by_hand, [](double, index, index, index, index) { return 1.0; }}};
        const auto exact = attention_forward(from.q, from.k, from.v, how);
        CHECK(reference::largest_difference(to_reference(o, exact.o), exact.o) <=
              1e-12 * (1 + reference::largest_magnitude(from.v)));

        auto gradient = heed::attention_backward(
            shaw.in.d_o, o, stats, shaw.in.q, shaw.in.k, shaw.in.v,
            heed::log_sum_exp_gradient(shaw.in.d_log_sum_exp), heed::causal, part);
        const auto through = heed::project_backward(gradient.template of<0>(), shaw.in.q,
                                                    heed::weights(shaw.c * shaw.r));
        gradient.q += through.x;
        const Eigen::MatrixXd dr = shaw.c * through.weight;
        const auto loss = [&] { return shaw.loss(); };
        const double largest = largest_of(gradient);
        check_slopes("dq", random, 12, shaw.in.q, gradient.q, loss, largest);
        check_slopes("dk", random, 6, shaw.in.k, gradient.k, loss, largest);
        check_slopes("dr", random, 12, shaw.r, dr, loss, largest);
    });
}

TEST_CASE("the gradient of relative scores has the same bits for any number of threads") {
    generator random(124);
    const inputs<float> in(problem(random, {2, 4, 2, 300, 1100, 8, 8}));
    const auto t = as_tensor<float>(random_numbers(random, 2, 4, 300, 33));
    const auto part = heed::learn(heed::relative_scores(t));
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

TEST_CASE("relative scores with entmax learn what a bias of each score does") {
    for_problems(126, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index reach = random.one_of<index>({0, 3, 20});
        const auto t = random_numbers(random, e.batch, e.heads, e.queries, 2 * reach + 1);
        reference::tensor bias(e.batch, e.heads, e.queries, e.keys);
        for_each_row(bias, [&](index b, index h, index i) {
            for (index j = 0; j < e.keys; ++j)
                bias(b, h, i, j) = t(b, h, i, column(i, j, e.queries, e.keys, reach));
        });
        const inputs<double> in(from);
        const auto gradient_of = [&](const auto& part) {
            const auto forward = heed::attention_forward(in.q, in.k, in.v, part, heed::entmax15);
            auto gradient = heed::attention_backward(in.d_o, forward.output, forward.stats, in.q,
                                                     in.k, in.v, part, heed::entmax15);
            return as_reference(gradient.template of<0>());
        };
        const auto expected =
            sum_by_column(gradient_of(heed::learn(heed::bias(as_tensor<double>(bias)))), reach);
        const auto dt = gradient_of(heed::learn(heed::relative_scores(as_tensor<double>(t))));
        CHECK(reference::largest_difference(dt, expected) <=
              1e-12 * (1 + reference::largest_magnitude(expected)));
    });
}

TEST_CASE("relative scores in pieces, over a cache, have the bits of one call") {
    generator random(127);
    const index n = 300, reach = 9;
    const tokens<float> in(random, 2, 4, 2, n, 8, 8);
    const auto t = as_tensor<float>(random_numbers(random, 2, 4, n, 2 * reach + 1));
    const auto whole = heed::attention(in.q, in.k, in.v, heed::causal, heed::relative_scores(t));
    heed::kv_cache<float> cache(in.options());
    bool same = true;
    index first = 0;
    for (const index count : {1, 40, 1, 1, 130, 127}) {
        const auto o =
            read_tokens(cache, in, first, count, heed::relative_scores(rows_of(t, first, count)));
        same = same && are_same(o, rows_of(whole, first, count));
        first += count;
    }
    CHECK(first == n);
    CHECK(same);
}

TEST_CASE("relative scores at positions of one's own") {
    generator random(125);
    const index n = 40, m = 300;
    inputs<double> in(problem(random, {1, 2, 1, n, m, 5, 5}));
    const auto t = as_tensor<double>(random_numbers(random, 1, 2, n, 15));
    const auto part = [&] { return heed::learn(heed::relative_scores(t)); };
    std::vector<double> queries, in_place, backwards;
    for (index i = 0; i < n; ++i) queries.push_back(random.uniform(0, 320));
    for (index j = 0; j < m; ++j) {
        in_place.push_back(static_cast<double>(j));
        backwards.push_back(static_cast<double>(m - 1 - j) + 0.25);
    }

    // Distance d of a query at a position of its own, over the keys' positions.
    const auto check_forward = [&](const std::vector<double>& keys) {
        Eigen::Tensor<double, 4, Eigen::RowMajor> bias(1, 2, n, m);
        for (index h = 0; h < 2; ++h)
            for (index i = 0; i < n; ++i)
                for (index j = 0; j < m; ++j) {
                    const double distance = std::ceil(keys[static_cast<std::size_t>(j)] -
                                                      queries[static_cast<std::size_t>(i)]);
                    bias(0, h, i, j) =
                        t(0, h, i, static_cast<index>(std::clamp(distance, -7.0, 7.0)) + 7);
                }
        const Eigen::Tensor<double, 4, Eigen::RowMajor> difference =
            heed::attention(in.q, in.k, in.v, heed::relative_scores(t),
                            heed::positions(queries, keys)) -
            heed::attention(in.q, in.k, in.v, heed::bias(bias));
        CHECK(largest_magnitude(difference) <= 1e-13);
    };
    check_forward(in_place);
    check_forward(backwards);

    auto values = t;
    const auto moved = heed::positions(queries, in_place);
    const auto forward = heed::attention_forward(in.q, in.k, in.v, part(), moved);
    const auto gradient =
        heed::attention_backward(in.d_o, forward.output, forward.stats, in.q, in.k, in.v,
                                 heed::log_sum_exp_gradient(in.d_log_sum_exp), part(), moved);
    check_slopes(
        "dt", random, 40, values, gradient.of<0>(),
        [&] { return loss_of(in, heed::relative_scores(values), moved); }, largest_of(gradient));

    // Keys that may share an element of the gradient are refused, on any threads.
    Eigen::ThreadPool pool(3);
    const auto elsewhere = heed::positions(queries, backwards);
    const auto backward = [&](const auto&... on) {
        return heed::attention_backward(in.d_o, forward.output, forward.stats, in.q, in.k, in.v,
                                        part(), elsewhere, on...);
    };
    CHECK_THROWS_AS(backward(), heed::argument_error);
    CHECK_THROWS_AS(backward(always_on(pool)), heed::argument_error);
}

TEST_CASE("relative scores refuse what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    const auto part = [](index batch, index heads, index queries, index distances) {
        return heed::relative_scores(tensor(batch, heads, queries, distances));
    };
    CHECK_NOTHROW(part(2, 4, 6, 5).check(shape));
    CHECK_NOTHROW(part(1, 1, 6, 1).check(shape));
    CHECK_NOTHROW(heed::relative_scores(Eigen::MatrixXf(6, 5)).check(shape));
    CHECK_THROWS_AS(part(2, 3, 6, 5).check(shape), heed::shape_error);
    CHECK_THROWS_AS(part(3, 4, 6, 5).check(shape), heed::shape_error);
    CHECK_THROWS_WITH(part(2, 4, 1, 5).check(shape),
                      "heed::relative_scores has shape [2, 4, 1, 5], but must have a row for each "
                      "query of [batch, heads, queries] = [2, 4, 6]; a batch or heads of 1 serve "
                      "all");
    CHECK_THROWS_AS(part(2, 4, 6, 0), heed::shape_error);
    CHECK_THROWS_WITH(part(2, 4, 6, 4),
                      "heed::relative_scores has 4 distances, but must have an odd number below "
                      "2^24: as many before the query as behind it, and its own");

    tensor good(2, 4, 6, 5), shared(2, 1, 6, 5);
    const auto check = [&](tensor& gradient, const auto& modifier) {
        modifier.check_gradient(heed::detail::view_of(gradient), shape);
    };
    CHECK_NOTHROW(check(good, part(2, 4, 6, 5)));
    CHECK_THROWS_AS(check(shared, part(2, 4, 6, 5)), heed::shape_error);
    CHECK_THROWS_WITH(check(shared, part(2, 1, 6, 5)),
                      "heed::relative_scores has shape [2, 1, 6, 5], but to be learned must have "
                      "rows of its own for each of [batch, heads] = [2, 4]");
}

}  // namespace test_relative_scores
