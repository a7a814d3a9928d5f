// Latent attention of whole sequences against the reference: every part of it there and not there.

#include <cmath>
#include <cstddef>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"

namespace test_latent {

/// y is the reference's to a few roundings of a sum as long as the layer's.
template <class T, class Y>
void check_output(const layer<T>& from, const reference::matrix& expected, const Y& y) {
    const double error = std::is_same_v<T, double> ? 1e-13 : 1e-5;
    double worst = 0, largest = 0;
    REQUIRE(static_cast<std::size_t>(y.rows()) == expected.size());
    REQUIRE(y.cols() == from.of.outputs);
    for (index i = 0; i < y.rows(); ++i)
        for (index c = 0; c < y.cols(); ++c) {
            const double right = expected[static_cast<std::size_t>(i)][static_cast<std::size_t>(c)];
            worst = std::fmax(worst, std::abs(static_cast<double>(y(i, c)) - right));
            largest = std::fmax(largest, std::abs(right));
        }
    CHECK(worst <= error * largest);
}

TEMPLATE_TEST_CASE("latent attention is the reference's", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(710);
    for (const variant& of : variants()) {
        INFO(to_string(of));
        const layer<T> from(random, of);
        for (const index tokens : {1, 2, 37}) {
            const tensor<T> x = random.tensor<T>(2, tokens, of.model);
            const auto [y, saved] = from.attention().forward(x);
            REQUIRE(y.dimension(0) == 2);
            for (const index b : {0, 1})
                check_output(from, expected_output(from, sequence_of(x, b)), sequence_of(y, b));
        }
    }
}

TEST_CASE("latent attention of many keys, of wide heads, of one number each") {
    heed_test::generator random(711);
    variant wide;
    wide.heads = 2, wide.content = 33, wide.value = 40, wide.rank = 50, wide.rotated = 18;
    wide.rope = heed::rope::plain({.dim = 18});
    variant least;
    least.heads = least.content = least.value = least.rank = least.model = least.outputs = 1;
    least.rotated = 0;
    for (const variant& of : {wide, least}) {
        const layer<double> from(random, of);
        const Eigen::MatrixXd x = random.matrix<double>(300, of.model);  // column-major
        const Eigen::MatrixXd y = from.attention().forward(x).y;
        check_output(from, expected_output(from, x), y);
    }
}

TEST_CASE("latent attention of nothing is nothing") {
    heed_test::generator random(712);
    for (const variant& of : variants()) {
        const layer<float> from(random, of);
        for (const auto& x : {tensor<float>(2, 0, of.model), tensor<float>(0, 3, of.model)}) {
            const auto [y, saved] = from.attention().forward(x);
            CHECK(y.dimension(0) == x.dimension(0));
            CHECK(y.dimension(2) == of.outputs);
            const auto gradient = from.attention().backward(y, x, saved);
            CHECK(gradient.x.size() == 0);
            CHECK(gradient.weights.o_proj.rows() == of.outputs);
            CHECK(gradient.weights.o_proj.isZero());
            CHECK(gradient.weights.q_a_layernorm.size() ==
                  (of.compresses_queries ? of.query_rank : 0));
        }
    }
}

}  // namespace test_latent
