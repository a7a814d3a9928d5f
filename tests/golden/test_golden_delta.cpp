// The gated delta rule is what transformers' functions of Qwen3-Next compute, forward and backward.
// They compute in float32: in doubles heed is as near to them as that.

#include <algorithm>
#include <cmath>
#include <string>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"

namespace golden {
namespace test_golden_delta {

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

TEST_CASE("the gated delta rule is Qwen3-Next's in transformers", "[golden][linear]") {
    for (const std::string name : {"chunk", "recurrent", "chunk_with_state"}) {
        INFO(name);
        const example& from = load("delta", name);
        const auto q = from.tensor<double, 4>("q"), k = from.tensor<double, 4>("k");
        const auto v = from.tensor<double, 4>("v"), d_o = from.tensor<double, 4>("d_o");
        const auto decay = heed::learn(heed::log_decay(from.tensor<double, 3>("g")));
        const auto delta = heed::learn(heed::delta(from.tensor<double, 3>("beta")));
        heed::linear_state<double> state;
        if (from.has("state")) {
            const Eigen::array<int, 4> turned{0, 1, 3, 2};  // heed's is [d_v, d]
            state = heed::linear_state<double>::from(
                tensor4(from.tensor<double, 4>("state").shuffle(turned)));
        }
        const tensor4 o = heed::linear_attention(q, k, v, heed::causal, decay, delta,
                                                 heed::unit_rows, heed::carry(state));
        near(from, o, "o");
        tensor4 last(from.tensor<double, 4>("last").dimensions());
        for (heed::index h = 0; h < last.dimension(1); ++h) {
            const Eigen::MatrixXd s = state.matrix(0, h);
            for (heed::index f = 0; f < last.dimension(2); ++f)
                for (heed::index c = 0; c < last.dimension(3); ++c) last(0, h, f, c) = s(c, f);
        }
        near(from, last, "last");
        if (from.has("state")) continue;  // backward begins with none
        const auto [out, stats] =
            heed::linear_attention_forward(q, k, v, heed::causal, decay, delta, heed::unit_rows);
        const auto gradients = heed::linear_attention_backward(
            d_o, out, stats, q, k, v, heed::causal, decay, delta, heed::unit_rows);
        near(from, gradients.q, "d_q");
        near(from, gradients.k, "d_k");
        near(from, gradients.v, "d_v");
        near(from, gradients.of<0>(), "d_g");
        near(from, gradients.of<1>(), "d_beta");
    }
}

}  // namespace test_golden_delta
}  // namespace golden
