// Gradients of latent attention: slopes of y, for x and for every weight.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"

namespace test_latent {

template <class X>
double largest_of(const X& x) {
    double largest = 0;
    for (index i = 0; i < x.size(); ++i)
        largest = std::max(largest, std::abs(static_cast<double>(x.data()[i])));
    return largest;
}

/// d_x is the slope of the loss at some elements of x, within 1e-7 of the largest of them.
template <class X, class DX, class Loss>
void check_slopes(heed_test::generator& random, X& x, const DX& d_x, const Loss& loss) {
    REQUIRE(d_x.size() == x.size());
    for (int probe = 0; probe < 10; ++probe) {
        const index at = random.integer(0, x.size() - 1);
        double& element = x.data()[at];
        const double here = element, step = 1e-5;
        element = here + step;
        const double up = loss();
        element = here - step;
        const double down = loss();
        element = here;
        INFO("element " << at << ": " << d_x.data()[at]);
        CHECK(std::abs((up - down) / (2 * step) - d_x.data()[at]) <=
              1e-7 * std::max(1.0, largest_of(d_x)));
    }
}

TEST_CASE("gradients of latent attention are slopes") {
    heed_test::generator random(720);
    for (const variant& of : variants()) {
        INFO(to_string(of));
        layer<double> from(random, of);
        tensor<double> x = random.tensor<double>(2, 13, of.model);
        const auto dy = random.tensor<double>(2, 13, of.outputs);
        const auto mla = from.attention();  // sees the weights as they change
        const auto loss = [&] {
            const auto y = mla.forward(x).y;
            double sum = 0;
            for (index i = 0; i < y.size(); ++i) sum += y.data()[i] * dy.data()[i];
            return sum;
        };
        const auto [y, saved] = mla.forward(x);
        const auto gradient = mla.backward(dy, x, saved);
        check_slopes(random, x, gradient.x, loss);
        int weights = 0;
        heed::for_each_latent_weight(
            from.numbers, gradient.weights,
            [&](std::string_view name, auto& numbers, const auto& found) {
                INFO(name);
                CHECK(found.rows() == numbers.rows());
                CHECK(found.cols() == (numbers.size() > 0 ? numbers.cols() : found.cols()));
                if (numbers.size() == 0) return;
                check_slopes(random, numbers, found, loss);
                ++weights;
            });
        CHECK(weights == 3 + (of.normed ? 1 : 0) + (of.compresses_queries ? 3 : 1) +
                             (of.is_biased ? (of.compresses_queries ? 3 : 2) : 0) +
                             (of.gates > 0 ? 1 : 0));
    }
}

TEST_CASE("a float gradient of latent attention is the double one's") {
    heed_test::generator random(721);
    for (const variant& of : variants()) {
        INFO(to_string(of));
        const layer<float> from(random, of);
        layer<double> exact(random, of);
        heed::for_each_latent_weight(
            exact.numbers, from.numbers,
            [](auto, auto& to, const auto& numbers) { to = numbers.template cast<double>(); });
        const tensor<float> x = random.tensor<float>(1, 40, of.model);
        const tensor<float> dy = random.tensor<float>(1, 40, of.outputs);
        const tensor<double> exact_x = x.cast<double>(), exact_dy = dy.cast<double>();
        const auto of_exact = exact.attention();
        const auto right = of_exact.backward(exact_dy, exact_x, of_exact.forward(exact_x).saved);
        const auto of_float = from.attention();
        const auto found = of_float.backward(dy, x, of_float.forward(x).saved);
        const auto check = [](const auto& a, const auto& b) {
            double worst = 0;
            for (index i = 0; i < a.size(); ++i)
                worst = std::max(worst, std::abs(static_cast<double>(b.data()[i]) - a.data()[i]));
            CHECK(worst <= 2e-5 * largest_of(a));
        };
        check(right.x, found.x);
        heed::for_each_latent_weight(right.weights, found.weights,
                                     [&](std::string_view name, const auto& a, const auto& b) {
                                         INFO(name);
                                         check(a, b);
                                     });
    }
}

}  // namespace test_latent
