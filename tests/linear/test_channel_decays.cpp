#include <algorithm>
#include <cmath>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_checks.hpp"
#include "linear/problem.hpp"

namespace test_channel_decays {

using namespace heed_test;
using heed::index;

using Decays = decays_of_channels;

TEST_CASE("a decay a channel is the recurrence, in any extents") {
    generator random(1960);
    check_decays_in_any_extents<Decays>(random);
}

TEST_CASE("gradients of a long sequence by channels, over the states that backward keeps") {
    generator random(1961);
    for (const index keys : {256, 257, 600}) {
        const linear_extents e{1, 1, 1, 2, std::min<index>(keys, 400), keys, 3, 2};
        INFO("seed " << seed() << ", " << to_string(e));
        const linear_problem from(random, e);
        check_learned_decays<Decays>(
            random, from, with_decays(from, random_channel_decays(random, e, 2, keys == 600)));
    }
}

TEST_CASE("float gradients of a decay a channel are double's, up to rounding") {
    generator random(1962);
    check_float_gradients_of_decays<Decays>(random, 2e-6);
}

TEST_CASE("decays a channel beside documents, padding, a rotary encoding and a scale") {
    generator random(1963);
    check_decays_beside_parts<Decays>(random);
}

TEST_CASE("decays a channel of any strength are exact, and leave the other channels alone") {
    generator random(1964);
    const linear_extents e{1, 1, 1, 1, 70, 70, 3, 4};
    const linear_problem from(random, e);
    for (const double strength : {0.0, -5.0, -79.0, -104.0, -1e30, -HUGE_VAL}) {
        for (const bool often : {true, false}) {
            INFO("log decay " << strength << ", often " << often);
            reference::tensor logs(1, 1, 70, 3);
            for (index t = 0; t < 70; ++t) {
                logs(0, 0, t, 0) = -0.1;
                logs(0, 0, t, 1) = often || t % 11 == 0 ? strength : -0.3;
            }
            check_forward<float>(from, with_decays(from, logs), 1e-6, heed::causal,
                                 heed::log_decay(to_tensor<float>(logs)));
            check_learned_decays<Decays>(random, from, with_decays(from, logs));
        }
    }
}

TEST_CASE("channels of equal decays are those of a token, to rounding") {
    generator random(1965);
    const linear_extents e{1, 2, 2, 2, 200, 200, 9, 5};
    const linear_problem from(random, e);
    const linear_inputs<float> in(from);
    const auto tokens = to_decays<float>(random_decays(random, e, 2));
    tensor4<float> channels(1, 2, 200, 9);
    for (index h = 0; h < 2; ++h)
        for (index t = 0; t < 200; ++t)
            for (index f = 0; f < 9; ++f) channels(0, h, t, f) = tokens(0, h, t);
    const tensor4<float> a =
        heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(tokens));
    const tensor4<float> b =
        heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(channels));
    compare_rounded(b, tensor4<double>(a.cast<double>()), 1e-6);
}

/// A weak decay of one channel is multiplied thousands of times, beside one that cuts each chunk.
TEST_CASE("a channel that hardly fades keeps its digits over 2^15 tokens") {
    constexpr index block = 2048, blocks = 16;
    constexpr float weak = -3e-6F;
    const double bound = heed::detail::has_fma ? 3e-7 : 5e-6;  // the product's rounding is lost
    tensor4<float> q(1, 1, block, 2), v(1, 1, block, 1), g(1, 1, block, 2);
    q.setConstant(1);
    v.setConstant(1);
    for (const float strong : {-1.F, -90.F}) {
        for (index t = 0; t < block; ++t) {
            g(0, 0, t, 0) = weak;
            g(0, 0, t, 1) = strong;
        }
        heed::linear_state<float> state;
        tensor4<float> o(1, 1, block, 1);
        for (index b = 0; b < blocks; ++b)
            heed::linear_attention_into(o, q, q, v, heed::causal, heed::log_decay(g),
                                        heed::carry(state));
        const auto fades = static_cast<double>(weak);
        const double expected =
            std::expm1(static_cast<double>(block * blocks) * fades) / std::expm1(fades);
        INFO("beside " << strong);
        CHECK(std::abs(static_cast<double>(state.matrix(0, 0)(0, 0)) / expected - 1) < bound);
        CHECK(static_cast<double>(state.matrix(0, 0)(0, 1)) ==
              Approx(1 / -std::expm1(static_cast<double>(strong))));
    }
}

}  // namespace test_channel_decays
