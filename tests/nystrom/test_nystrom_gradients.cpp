#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_nystrom_gradients {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

using options = heed::nystrom_options;
using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A call whose parts are all parameters: lengths, a scale a head, a temperature, a convolution.
struct call {
    inputs<double> in;
    std::vector<double> factors;
    matrix w;
    std::vector<index> lengths;
    options chosen;

    call(generator& random, const extents& e, const options& how)
        : in(random, e),
          factors(static_cast<std::size_t>(e.heads)),
          w(random.matrix<double>(e.heads, 3)),
          lengths(static_cast<std::size_t>(e.batch)),
          chosen(how) {
        for (double& factor : factors) factor = random.uniform(0.4, 1);
        for (index& length : lengths) length = random.integer(e.keys / 2, e.keys);
    }

    auto parts() const {
        return std::tuple(heed::learn(heed::scale(factors)), heed::softmax.temperature(1.3),
                          heed::learn(heed::residual_convolution(w)), heed::key_lengths(lengths));
    }
    auto forward() const {
        return std::apply(
            [&](const auto&... part) {
                return heed::nystrom_attention_forward(in.q, in.k, in.v, chosen, part...);
            },
            parts());
    }
    auto backward() const {
        const auto [o, stats] = forward();
        const auto& kept = stats;
        const auto& out = o;
        return std::apply(
            [&](const auto&... part) {
                return heed::nystrom_attention_backward(in.d_o, out, kept, in.q, in.k, in.v, chosen,
                                                        part...);
            },
            parts());
    }
    double loss() const {
        const auto [o, stats] = forward();
        double sum = 0;
        for (index i = 0; i < o.size(); ++i) sum += o.data()[i] * in.d_o.data()[i];
        return sum;
    }
};

/// d_x is the slope of the loss at some elements of x, within 1e-7 of the largest gradient.
template <class X, class DX>
void check_slopes(generator& random, const call& of, X& x, const DX& d_x, double largest) {
    for (int probe = 0; probe < 6; ++probe) {
        const index at = random.integer(0, static_cast<index>(x.size()) - 1);
        double& element = x.data()[at];
        const double here = element, step = 1e-5;
        element = here + step;
        const double up = of.loss();
        element = here - step;
        const double down = of.loss();
        element = here;
        INFO("element " << at);
        CHECK(std::abs((up - down) / (2 * step) - d_x.data()[at]) <= 1e-7 * largest);
    }
}

double largest_magnitude(const double* x, index count) {
    double largest = 1;
    for (index i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
    return largest;
}

void check_gradients(generator& random, const extents& e, const options& how) {
    INFO(to_string(e) << ", landmarks " << how.landmarks.value << ", inverse "
                      << static_cast<int>(how.inverse));
    call of(random, e, how);
    const auto gradient = of.backward();
    const double largest = std::max({largest_magnitude(gradient.q.data(), gradient.q.size()),
                                     largest_magnitude(gradient.k.data(), gradient.k.size()),
                                     largest_magnitude(gradient.v.data(), gradient.v.size())});
    check_slopes(random, of, of.in.q, gradient.q, largest);
    check_slopes(random, of, of.in.k, gradient.k, largest);
    check_slopes(random, of, of.in.v, gradient.v, largest);
    const double of_learned =
        std::max({largest, largest_magnitude(gradient.of<0>().data(), e.heads),
                  largest_magnitude(gradient.of<1>().data(), 3 * e.heads)});
    check_slopes(random, of, of.factors, gradient.of<0>(), of_learned);
    check_slopes(random, of, of.w, gradient.of<1>(), of_learned);
}

TEST_CASE("gradients of Nyström attention are slopes") {
    generator random(611);
    const extents sizes[] = {{2, 4, 2, 23, 23, 5, 3}, {1, 1, 1, 40, 40, 8, 9}};
    for (const extents& e : sizes) {
        for (const index landmarks : {1, 5, 8}) {
            check_gradients(random, e, {.landmarks = landmarks});
            check_gradients(random, e,
                            {.landmarks = landmarks, .inverse = heed::pseudo_inverse::svd});
        }
        check_gradients(random, e, {.landmarks = 6, .rounds = 0});
        check_gradients(random, e, {.landmarks = 6, .inverse = heed::pseudo_inverse::none});
        // What a tolerance cuts off turns with what it leaves.
        check_gradients(random, e,
                        {.landmarks = 7, .inverse = heed::pseudo_inverse::svd, .tolerance = 0.05});
    }
}

TEST_CASE("a float gradient of Nyström attention is the double one's") {
    generator random(612);
    for (const extents& e : {extents{2, 4, 2, 50, 50, 8, 6}, {1, 2, 2, 9, 2100, 4, 4}}) {
        const problem from(random, e);
        const inputs<double> exact(from);
        const inputs<float> in(from);
        for (const auto inverse : {heed::pseudo_inverse::rounds, heed::pseudo_inverse::none}) {
            const options how{.landmarks = 6, .inverse = inverse};
            const auto run = [&](const auto& x) {
                const auto forward = heed::nystrom_attention_forward(x.q, x.k, x.v, how);
                return heed::nystrom_attention_backward(x.d_o, forward.output, forward.stats, x.q,
                                                        x.k, x.v, how);
            };
            const auto expected = run(exact);
            const auto actual = run(in);
            const auto check = [](const auto& a, const auto& b) {
                const double largest = largest_magnitude(a.data(), a.size());
                for (index i = 0; i < a.size(); ++i)
                    REQUIRE(std::abs(static_cast<double>(b.data()[i]) - a.data()[i]) <=
                            2e-4 * largest);
            };
            check(expected.q, actual.q);
            check(expected.k, actual.k);
            check(expected.v, actual.v);
        }
    }
}

TEST_CASE("gradients of padding are zero, and padding is never read") {
    generator random(613);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    call of(random, {3, 2, 1, 17, 17, 4, 3}, {.landmarks = 4});
    of.lengths = {17, 0, 6};
    const auto without = of.backward();
    const auto [o, stats] = of.forward();
    (void)stats;
    for (auto* x : {&of.in.q, &of.in.k, &of.in.v, &of.in.d_o})
        for (index b = 0; b < 3; ++b)
            for (index h = 0; h < x->dimension(1); ++h)
                for (index i = of.lengths[static_cast<std::size_t>(b)]; i < 17; ++i)
                    for (index c = 0; c < x->dimension(3); ++c) (*x)(b, h, i, c) = nan;
    const auto gradient = of.backward();
    CHECK(same_bits(gradient.q, without.q));
    CHECK(same_bits(gradient.k, without.k));
    CHECK(same_bits(gradient.v, without.v));
    CHECK(same_bits(gradient.of<1>(), without.of<1>()));
    for (index b = 0; b < 3; ++b)
        for (index i = of.lengths[static_cast<std::size_t>(b)]; i < 17; ++i) {
            CHECK(o(b, 1, i, 2) == 0);
            CHECK(gradient.q(b, 1, i, 3) == 0);
            CHECK(gradient.k(b, 0, i, 1) == 0);
            CHECK(gradient.v(b, 0, i, 2) == 0);
        }
}

TEST_CASE("a scale of Nyström attention that may be learned or not be there") {
    generator random(614);
    const inputs<double> in(random, {1, 2, 1, 19, 19, 4, 3});
    const options how{.landmarks = 4};
    using scale = decltype(heed::learn(heed::scale(0.4)));
    const auto run = [&](const auto&... part) {
        const auto forward = heed::nystrom_attention_forward(in.q, in.k, in.v, how, part...);
        return heed::nystrom_attention_backward(in.d_o, forward.output, forward.stats, in.q, in.k,
                                                in.v, how, part...);
    };
    const auto plain = run();
    const auto there = run(heed::learn(heed::scale(0.4)));
    const auto may_be = run(std::optional<scale>(heed::learn(heed::scale(0.4))));
    const auto missing = run(std::optional<scale>());
    CHECK(same_bits(may_be.q, there.q));
    CHECK(may_be.of<0>()(0) == there.of<0>()(0));
    CHECK(same_bits(missing.q, plain.q));
    CHECK(missing.of<0>()(0) == 0);
}

}  // namespace test_nystrom_gradients
