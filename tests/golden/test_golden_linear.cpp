// Linear attention is what performer-pytorch's functions compute, forward and backward: in doubles,
// since tests/linear compares both scalars with the reference.

#include <algorithm>
#include <cmath>
#include <string>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/random_features.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"

namespace golden {
namespace test_golden_linear {

using tensor = Eigen::Tensor<double, 4, Eigen::RowMajor>;

template <class... Parts>
void check(const std::string& name, const Parts&... parts) {
    INFO(name);
    const example& expected = load("linear", name);
    const auto q = expected.tensor<double, 4>("q"), k = expected.tensor<double, 4>("k");
    const auto v = expected.tensor<double, 4>("v"), d_o = expected.tensor<double, 4>("d_o");
    const auto [o, stats] = heed::linear_attention_forward(q, k, v, parts...);
    const auto gradients = heed::linear_attention_backward(d_o, o, stats, q, k, v, parts...);
    const auto near = [&](const tensor& actual, const std::string& label) {
        INFO(label);
        const auto wanted = expected.tensor<double, 4>(label);
        REQUIRE(actual.size() == wanted.size());
        double size = 1, difference = 0;
        for (Eigen::Index e = 0; e < wanted.size(); ++e) {
            size = std::max(size, std::abs(wanted.data()[e]));
            difference = std::max(difference, std::abs(actual.data()[e] - wanted.data()[e]));
        }
        CHECK(difference <= 1e-10 * size);  // the files hold 12 digits
    };
    near(o, "o");
    near(gradients.q, "dq");
    near(gradients.k, "dk");
    near(gradients.v, "dv");
}

/// The directions of an example.
heed::random_features directions(const std::string& name) {
    return heed::random_features::from(load("linear", name).tensor<double, 2>("omega"));
}

TEST_CASE("linear attention is performer-pytorch's", "[golden][linear]") {
    check("elu_plus_one", heed::elu_plus_one);
    check("elu_plus_one_causal", heed::causal, heed::elu_plus_one);
    check("favor", heed::favor(directions("favor")));
    check("favor_causal", heed::causal, heed::favor(directions("favor_causal")));
    check("favor_relu", heed::favor(directions("favor_relu")).relu(0.125));
    check("favor_relu_causal", heed::causal,
          heed::favor(directions("favor_relu_causal")).relu(0.125));
}

}  // namespace test_golden_linear
}  // namespace golden
