#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"

// Linear attention against recurrences that others compute, most in float32: in doubles heed is as
// near to them as that.

namespace golden {

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
inline tensor4<double> turned(const tensor4<double>& x) {
    const Eigen::array<int, 4> order{0, 1, 3, 2};
    return x.shuffle(order);
}

/// o, the state at the end and, from an empty state, the gradients of q, k, v and of learned parts,
/// the first being log decays.
template <class... Parts>
void compare_recurrence(const example& from, const Parts&... parts) {
    const auto q = from.tensor<double, 4>("q"), k = from.tensor<double, 4>("k");
    const auto v = from.tensor<double, 4>("v"), d_o = from.tensor<double, 4>("d_o");
    heed::linear_state<double> state;
    if (from.has("state"))
        state = heed::linear_state<double>::from(turned(from.tensor<double, 4>("state")));
    const tensor4<double> o =
        heed::linear_attention(q, k, v, heed::causal, parts..., heed::carry(state));
    near(from, o, "o");
    tensor4<double> last(from.tensor<double, 4>("last").dimensions());
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
    constexpr auto learned = std::tuple_size_v<std::remove_cvref_t<decltype(gradients.learned)>>;
    if constexpr (learned == 2)
        near(from, gradients.template of<1>(), from.has("u") ? "d_u" : "d_beta");
    if constexpr (learned == 3) {
        const bool low_rank = from.has("a");
        near(from, gradients.template of<1>(), low_rank ? "d_a" : "d_e");
        near(from, gradients.template of<2>(), low_rank ? "d_b" : "d_w");
    }
}

}  // namespace golden
