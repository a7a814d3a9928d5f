// Decays a channel are what flash-linear-attention's references compute, forward and backward. They
// compute in float32: in doubles heed is as near to them as that.

#include <algorithm>
#include <cmath>
#include <string>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/updates/delta.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"

namespace golden {
namespace test_golden_channels {

using tensor4 = Eigen::Tensor<double, 4, Eigen::RowMajor>;

template <class Tensor>
void near(const example& expected, const Tensor& actual, const std::string& label) {
    INFO(label);
    const auto wanted = expected.tensor<double, Tensor::NumDimensions>(label);
    REQUIRE(actual.size() == wanted.size());
    double size = 1, difference = 0;
    for (Eigen::Index e = 0; e < wanted.size(); ++e) {
        size = std::max(size, std::abs(wanted.data()[e]));
        difference = std::max(difference, std::abs(actual.data()[e] - wanted.data()[e]));
    }
    CHECK(difference <= 3e-6 * size);
}

/// Rows of the state, heed's being [d_v, d].
tensor4 turned(const tensor4& x) {
    const Eigen::array<int, 4> order{0, 1, 3, 2};
    return x.shuffle(order);
}

/// o, the state at the end and, from an empty state, the gradients of q, k, v and of learned parts.
template <class... Parts>
void compare(const example& from, const Parts&... parts) {
    const auto q = from.tensor<double, 4>("q"), k = from.tensor<double, 4>("k");
    const auto v = from.tensor<double, 4>("v"), d_o = from.tensor<double, 4>("d_o");
    heed::linear_state<double> state;
    if (from.has("state"))
        state = heed::linear_state<double>::from(turned(from.tensor<double, 4>("state")));
    const tensor4 o = heed::linear_attention(q, k, v, heed::causal, parts..., heed::carry(state));
    near(from, o, "o");
    tensor4 last(from.tensor<double, 4>("last").dimensions());
    for (heed::index h = 0; h < last.dimension(1); ++h) {
        const Eigen::MatrixXd s = state.matrix(0, h);
        for (heed::index f = 0; f < last.dimension(2); ++f)
            for (heed::index c = 0; c < last.dimension(3); ++c) last(0, h, f, c) = s(c, f);
    }
    near(from, last, "last");
    if (from.has("state")) return;  // backward begins with none
    const auto [out, stats] = heed::linear_attention_forward(q, k, v, heed::causal, parts...);
    const auto gradients =
        heed::linear_attention_backward(d_o, out, stats, q, k, v, heed::causal, parts...);
    near(from, gradients.q, "d_q");
    near(from, gradients.k, "d_k");
    near(from, gradients.v, "d_v");
    near(from, gradients.template of<0>(), "d_g");
    if constexpr (sizeof...(Parts) == 2)
        near(from, gradients.template of<1>(), from.has("u") ? "d_u" : "d_beta");
}

TEST_CASE("RWKV-6 is flash-linear-attention's", "[golden][linear]") {
    const example& from = load("channels", "rwkv6");
    compare(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))),
            heed::learn(heed::bonus(from.tensor<double, 2>("u"))));
}

TEST_CASE("Kimi delta attention is flash-linear-attention's", "[golden][linear]") {
    for (const std::string name : {"kda", "kda_with_state"}) {
        INFO(name);
        const example& from = load("channels", name);
        compare(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))),
                heed::learn(heed::delta(from.tensor<double, 3>("beta"))));
    }
}

TEST_CASE("gated linear attention is flash-linear-attention's", "[golden][linear]") {
    for (const std::string name : {"gla", "gla_with_state"}) {
        INFO(name);
        const example& from = load("channels", name);
        compare(from, heed::learn(heed::log_decay(from.tensor<double, 4>("g"))));
    }
}

}  // namespace test_golden_channels
}  // namespace golden
