#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <tuple>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/core/simd.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/decay_checks.hpp"
#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"

namespace test_decays {

using namespace heed_test;
using heed::index;

using Decays = decays_of_tokens;

TEST_CASE("a decay a token is the recurrence, in any extents") {
    generator random(960);
    check_decays_in_any_extents<Decays>(random);
}

TEST_CASE("gradients of a long sequence, over the states that backward keeps") {
    generator random(961);
    for (const index keys : {256, 257, 700}) {
        const linear_extents e{1, 1, 1, 2, 600, keys, 3, 2};
        linear_extents square = e;
        square.queries = keys;
        for (const linear_extents& sizes : {e, square}) {
            if (sizes.queries > sizes.keys) continue;
            INFO("seed " << seed() << ", " << to_string(sizes));
            const linear_problem from(random, sizes);
            reference::tensor logs = random_decays(random, sizes, 2, false);
            for (double& x : logs.values) x /= 10;
            check_learned_decays<Decays>(random, from, with_decays(from, logs));
        }
    }
}

TEST_CASE("float gradients are double's, up to rounding") {
    generator random(962);
    check_float_gradients_of_decays<Decays>(random, 1e-6);
}

/// Numbers a head, or a token of all sequences alike, and their gradients: those of the tokens,
/// summed.
TEST_CASE("decays of fewer numbers are those of tokens") {
    generator random(963);
    const linear_extents e{2, 4, 2, 2, 45, 45, 4, 3};
    const linear_problem from(random, e);
    const linear_inputs<double> in(from);
    const std::vector<double> gammas{0.5, 0.99};
    const Eigen::VectorXd logs = Eigen::Vector2d(std::log(0.5), std::log(0.99));
    reference::tensor all(2, 2, 45, 1);
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = 0; t < 45; ++t) all(b, h, t, 0) = logs(h);
    const Eigen::MatrixXd of_tokens = logs.replicate(1, 45);
    const auto expected = [&] {
        const auto decay = heed::learn(heed::log_decay(to_decays<double>(all)));
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay);
        auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                         heed::causal, decay);
        return std::make_tuple(o, gradients.of<0>());
    }();
    const tensor3<double>& d_logs = std::get<1>(expected);
    const auto sum_of = [&](index head, index token) {
        double sum = 0;
        for (index b = 0; b < 2; ++b)
            for (index t = 0; t < 45; ++t)
                if (token < 0 || t == token) sum += d_logs(b, head, t);
        return sum;
    };
    const auto check = [&](const auto& part, const auto& gradient_is) {
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, heed::learn(part));
        CHECK(std::equal(o.data(), o.data() + o.size(), std::get<0>(expected).data()));
        const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                               heed::causal, heed::learn(part));
        gradient_is(gradients.template of<0>());
    };
    check(heed::log_decay(logs), [&](const auto& d) {
        REQUIRE(d.size() == 2);
        for (index h = 0; h < 2; ++h) CHECK(d(h) == Approx(sum_of(h, -1)));
    });
    check(heed::log_decay(of_tokens), [&](const Eigen::MatrixXd& d) {
        for (index h = 0; h < 2; ++h)
            for (index t = 0; t < 45; ++t) CHECK(d(h, t) == Approx(sum_of(h, t)).margin(1e-12));
    });
    check(heed::decay(gammas), [&](const auto& d) {
        for (index h = 0; h < 2; ++h)
            CHECK(d(h) == Approx(sum_of(h, -1) / gammas[static_cast<std::size_t>(h)]));
    });
    // One number for all heads.
    reference::tensor one(2, 1, 45, 1);
    for (double& x : one.values) x = std::log(0.9);
    const reference::linear_options how = with_decays(from, one);
    check_forward<double>(from, how, 1e-12, heed::causal, heed::decay(0.9));
    check_gradients(random, from, how, heed::causal, heed::decay(0.9));
    std::optional<decltype(heed::decay(0.9))> chosen = heed::decay(0.9);
    check_forward<double>(from, how, 1e-12, heed::causal, chosen);
    auto may_learn = std::make_optional(heed::learn(heed::decay(0.9)));
    for (const bool is_there : {true, false}) {
        if (!is_there) may_learn.reset();
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, may_learn);
        auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                         heed::causal, may_learn);
        CHECK(gradients.of<0>().size() == (is_there ? 1 : 0));
        Eigen::Matrix<double, 1, 1> mine(5.0);
        heed::linear_attention_backward_into(
            heed::into(gradients.q, gradients.k, gradients.v, mine), in.d_o, o, stats, in.q, in.k,
            in.v, heed::causal, may_learn);
        CHECK((mine(0) == 0) == !is_there);
    }
    chosen.reset();
    reference::linear_options none = how;
    none.log_decays.reset();
    check_forward<double>(from, none, 1e-12, heed::causal, chosen);
}

TEST_CASE("the gradient of decays is written where no sequence is") {
    const tensor4<double> none(0, 2, 5, 3);
    const Eigen::MatrixXd logs = Eigen::MatrixXd::Constant(2, 5, -0.1);
    const auto decay = heed::learn(heed::log_decay(logs));
    const auto [o, stats] = heed::linear_attention_forward(none, none, none, heed::causal, decay);
    tensor4<double> dq = none, dk = none, dv = none;
    Eigen::MatrixXd d_logs = Eigen::MatrixXd::Constant(2, 5, 7);
    heed::linear_attention_backward_into(heed::into(dq, dk, dv, d_logs), none, o, stats, none, none,
                                         none, heed::causal, decay);
    CHECK(d_logs.isZero(0));
}

TEST_CASE("the gradient of a decay whose reciprocal is infinite is finite") {
    tensor4<double> x(1, 1, 5, 1);
    x.setConstant(1);
    const double gamma = 1e-310;
    REQUIRE(std::isinf(1 / gamma));
    const auto decay = heed::learn(heed::decay(gamma));
    const auto [o, stats] = heed::linear_attention_forward(x, x, x, heed::causal, decay);
    const auto gradients =
        heed::linear_attention_backward(x, o, stats, x, x, x, heed::causal, decay);
    CHECK(std::isfinite(gradients.of<0>()(0)));
}

TEST_CASE("decays beside documents, padding, a rotary encoding and a scale") {
    generator random(964);
    for (int round = 0; round < 4; ++round) check_decays_beside_parts<Decays>(random);
}

TEST_CASE("a sum of 2^17 tokens that decay slowly keeps its digits") {
    const double log_decay = -static_cast<double>(3e-6F);
    constexpr index block = 4096, blocks = 32;
    tensor4<float> x(1, 1, block, 1), o(1, 1, block, 1);
    x.setConstant(1);
    heed::linear_state<float> state;
    for (index i = 0; i < blocks; ++i)
        heed::linear_attention_into(o, x, x, x, heed::causal,
                                    heed::log_decay(std::vector<double>{log_decay}),
                                    heed::carry(state));
    const double tokens = static_cast<double>(block * blocks);
    const double expected = std::expm1(log_decay * tokens) / std::expm1(log_decay);
    // Were a chunk's decay one float, it would be no small thing.
    const auto rounded = static_cast<double>(static_cast<float>(std::exp(32 * log_decay)));
    const auto sum_of = [](double decay) {
        return (1 - std::pow(decay, block * blocks / 32)) / (1 - decay);
    };
    CHECK(std::abs(sum_of(rounded) / sum_of(std::exp(32 * log_decay)) - 1) > 3e-5);
    const double bound = heed::detail::has_fma ? 3e-7 : 2e-6;  // the product's rounding is lost
    CHECK(std::abs(static_cast<double>(o(0, 0, block - 1, 0)) / expected - 1) < bound);
    CHECK(std::abs(static_cast<double>(state.matrix(0, 0)(0, 0)) / expected - 1) < bound);
}

TEST_CASE("decays of any strength are exact: none, and so strong that nothing is left") {
    generator random(965);
    const linear_extents e{1, 1, 1, 1, 70, 70, 3, 4};
    const linear_problem from(random, e);
    for (const double strength : {0.0, -5.0, -80.0, -104.0, -1e30, -HUGE_VAL}) {
        INFO("log decay " << strength);
        reference::tensor logs(1, 1, 70, 1);
        for (double& x : logs.values) x = strength;
        check_forward<float>(from, with_decays(from, logs), 1e-6, heed::causal,
                             heed::log_decay(to_decays<float>(logs)));
        for (index t = 0; t < 70; ++t)
            if (t % 11 != 0) logs(0, 0, t, 0) = -0.1;
        check_forward<float>(from, with_decays(from, logs), 1e-6, heed::causal,
                             heed::log_decay(to_decays<float>(logs)));
        check_learned_decays<Decays>(random, from, with_decays(from, logs));
    }
}

}  // namespace test_decays
