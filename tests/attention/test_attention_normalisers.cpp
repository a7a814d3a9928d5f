#include <cmath>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_normalisers {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("softmax of any temperature") {
    for_problems(51, [](generator& random, const problem& from) {
        reference::options how;
        how.temperature = random.one_of({0.25, 0.7, 3.0});
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_all(random, from, how, heed::softmax.temperature(how.temperature), heed::causal);
    });
}

TEST_CASE("softmax plus one") {
    for_problems(52, [](generator& random, const problem& from) {
        reference::options how;
        how.sink.assign(static_cast<std::size_t>(from.sizes.heads), 0);
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_all(random, from, how, heed::causal, heed::softmax_plus_one);
        how.temperature = 0.5;
        check_all(random, from, how, heed::causal, heed::softmax_plus_one.temperature(0.5));
    });
}

TEST_CASE("a learned sink") {
    for_problems(53, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const double temperature = random.one_of({1.0, 0.5, 2.0});
        reference::options how;
        how.temperature = temperature;
        how.visible = reference::causal(e.queries, e.keys);
        Eigen::VectorXd logits(e.heads);
        random.fill_normal(logits, 3);
        logits = logits.cast<float>().cast<double>();
        how.sink.assign(logits.data(), logits.data() + logits.size());
        const auto part = heed::learn(heed::sink(logits).temperature(temperature));
        const auto check = [&](const auto& result) {
            for (index h = 0; h < e.heads; ++h) {
                const auto head = static_cast<std::size_t>(h);
                CHECK(std::abs(static_cast<double>(result.gradient.template of<0>()(h)) -
                               result.exact_gradient.sink[head]) <= result.bounds.sink[head]);
            }
        };
        check(check_against_reference<float>(from, how, heed::causal, part));
        check(check_against_reference<double>(from, how, heed::causal, part));

        inputs<double> in(from);
        const auto gradient = check_differences(random, in, heed::causal, part);
        check_slopes(
            "dsink", random, e.heads, logits, gradient.template of<0>(),
            [&] { return loss_of(in, heed::causal, part); }, largest_of(gradient));

        // One logit for all heads: the sum of the others.
        const auto shared = heed::learn(heed::sink(0.5));
        const auto of_shared = check_differences(random, in, shared);
        Eigen::Matrix<double, 1, 1> logit(0.5);
        check_slopes(
            "dsink of all", random, 1, logit, of_shared.template of<0>(),
            [&] { return loss_of(in, heed::learn(heed::sink(logit(0)))); }, largest_of(of_shared));
    });
}

TEST_CASE("a row that sees nothing gives zeros, and the sink's log-sum-exp") {
    const extents e{2, 2, 1, 3, 5, 4, 4};
    generator random(54);
    const inputs<float> in(random, e);
    const auto lengths = heed::key_lengths({0, 5});
    const Eigen::Vector2f logits(1.5F, -2);
    const auto sink = heed::learn(heed::sink(logits).temperature(2));
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, lengths, sink);
    const auto log_sum_exp = stats.log_sum_exp();
    for (index h = 0; h < 2; ++h) {
        for (index i = 0; i < 3; ++i) {
            CHECK(log_sum_exp(0, h, i) == Approx(logits(h)));
            for (index x = 0; x < 4; ++x) CHECK(o(0, h, i, x) == 0);
        }
    }
    // All of such a row's log-sum-exp is the sink's.
    Eigen::Tensor<float, 3> ones(2, 2, 3);
    ones.setConstant(1);  // given as a temporary: the part owns it
    tensor4<float> none(2, 2, 3, 4);
    none.setZero();
    const auto gradient =
        heed::attention_backward(none, o, stats, in.q, in.k, in.v, lengths, sink,
                                 heed::log_sum_exp_gradient(Eigen::Tensor<float, 3>(ones)));
    for (index x = 0; x < 2 * 3 * 4; ++x) CHECK(gradient.q.data()[x] == 0);
    for (index x = 0; x < 5 * 4; ++x) {
        CHECK(gradient.k.data()[x] == 0);
        CHECK(gradient.v.data()[x] == 0);
    }
    for (index h = 0; h < 2; ++h) {
        double expected = 3;
        for (index i = 0; i < 3; ++i)
            expected += std::exp(static_cast<double>(logits(h) - log_sum_exp(1, h, i)) / 2);
        CHECK(gradient.of<0>()(h) == Approx(expected));
    }
}

}  // namespace test_attention_normalisers
