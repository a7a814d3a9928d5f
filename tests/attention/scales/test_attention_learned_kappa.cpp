#include <cmath>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

// Parameters whose gradients need what a row's gradient alone does not tell: how many keys it sees,
// and the sums of dq and dk; in both ways of going backward, block by block and by whole rows.

namespace test_attention_learned_kappa {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("the gradient of kappa is a central difference") {
    for_problems(131, [](generator& random, const problem& from) {
        inputs<double> in(from);
        Eigen::Matrix<double, 1, 1> kappa(1.3);
        const auto check = [&](const auto& make) {
            const auto gradient = check_differences(random, in, heed::causal, make());
            check_slopes(
                "dkappa", random, 1, kappa, gradient.template of<0>(),
                [&] { return loss_of(in, heed::causal, make()); }, largest_of(gradient));
        };
        check([&] { return heed::learn(heed::log_n_scale_kappa(kappa(0))); });
        check([&] { return heed::learn(heed::key_norm.log_n_kappa(kappa(0))); });
    });
}

TEST_CASE("the gradient of kappa in float is that of double") {
    generator random(132);
    const problem from(random, {2, 4, 2, 70, 90, 16, 8});
    const auto gradient = [&]<class T>(T) {
        const inputs<T> in(from);
        const auto part = heed::learn(heed::log_n_scale_kappa(2));
        const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal, part);
        return static_cast<double>(
            heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, part)
                .template of<0>()(0));
    };
    CHECK(gradient(1.0f) == Approx(gradient(1.0)).epsilon(1e-5));
}

TEST_CASE("kappa and biases of q and k learn through a normaliser of whole rows") {
    generator random(133);
    const inputs<double> in(problem(random, {2, 4, 2, 37, 41, 8, 5}));
    const Eigen::MatrixXd a = random.matrix<double>(4, 8), b = random.matrix<double>(2, 8);
    const auto kappa = heed::learn(heed::log_n_scale_kappa(3));
    const auto rotary = heed::rotary(heed::rope::plain({.dim = 8}));  // or b would change nothing
    const auto of_a = heed::learn(heed::query_bias(a));
    const auto of_b = heed::learn(heed::key_bias(b));
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal, heed::sparsemax,
                                                    kappa, of_a, of_b, rotary);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                                   heed::sparsemax, kappa, of_a, of_b, rotary);
    // κ multiplies all scores, so that q and κ stretch alike: κ·dκ = Σ q'·dq', q' = q + a.
    double sum = 0;
    Eigen::MatrixXd da = Eigen::MatrixXd::Zero(4, 8), db = Eigen::MatrixXd::Zero(2, 8);
    for (index batch = 0; batch < 2; ++batch) {
        for (index c = 0; c < 8; ++c) {
            for (index h = 0; h < 4; ++h) {
                for (index i = 0; i < 37; ++i) {
                    da(h, c) += gradient.q(batch, h, i, c);
                    sum += gradient.q(batch, h, i, c) * (in.q(batch, h, i, c) + a(h, c));
                }
            }
            for (index h = 0; h < 2; ++h)
                for (index j = 0; j < 41; ++j) db(h, c) += gradient.k(batch, h, j, c);
        }
    }
    CHECK(3 * gradient.of<0>()(0) == Approx(sum).epsilon(1e-9));
    const auto check = [](const Eigen::MatrixXd& of_part, const Eigen::MatrixXd& summed) {
        CHECK(largest_magnitude(summed) > 0.01);
        for (index e = 0; e < summed.size(); ++e)
            CHECK(of_part.data()[e] == Approx(summed.data()[e]).margin(1e-12));
    };
    check(gradient.of<1>(), da);
    check(gradient.of<2>(), db);
    CHECK(std::abs(sum) > 0.01);
}

}  // namespace test_attention_learned_kappa
