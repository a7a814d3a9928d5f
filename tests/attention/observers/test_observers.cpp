#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/heed.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_observers {

using namespace heed_test;
using heed::index;

/// The measures of one row of the matrix.
struct measures {
    double entropy = 0, sparsity = 0, gradient_size = 0;

    template <class T>
    measures(const tensor4<T>& p, index b, index h, index i, index visible) {
        double sum = 0, square = 0;
        for (index j = 0; j < p.dimension(3); ++j) {
            const auto x = static_cast<double>(p(b, h, i, j));
            sum += x;
            square += x * x;
            if (x > 0) entropy -= x * std::log(x);
        }
        if (sum == 0) return;
        sparsity = sum / std::sqrt(square * static_cast<double>(visible));
        gradient_size = 1 - square;
    }
};

/// What the observers say is what the matrix of the attention gives; `visible(i)` keys are seen.
template <class T, class Visible, class... Parts>
void check_observers(const inputs<T>& in, Visible&& visible, const Parts&... parts) {
    const auto p = heed::attention_weights(in.q, in.k, parts...);
    const auto [o, stats, entropy, size, sparsity] = heed::attention_forward(
        in.q, in.k, in.v, heed::row_entropy, parts..., heed::row_gradient_size, heed::row_sparsity);
    CHECK(same_bits(o, heed::attention(in.q, in.k, in.v, parts...)));
    const double bound = 40 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                         std::log(2 + static_cast<double>(in.k.dimension(2)));
    double worst = 0;
    for (index b = 0; b < p.dimension(0); ++b)
        for (index h = 0; h < p.dimension(1); ++h)
            for (index i = 0; i < p.dimension(2); ++i) {
                const measures expected(p, b, h, i, visible(i));
                worst = std::max(
                    {worst, std::abs(expected.entropy - static_cast<double>(entropy(b, h, i))),
                     std::abs(expected.sparsity - static_cast<double>(sparsity(b, h, i))),
                     std::abs(expected.gradient_size - static_cast<double>(size(b, h, i)))});
            }
    CHECK(worst <= bound);
}

TEMPLATE_TEST_CASE("observers see what the matrix holds", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(171);
    for (const extents& e : {extents{2, 4, 2, 61, 61, 8, 5}, extents{1, 1, 1, 37, 700, 16, 16},
                             extents{1, 2, 1, 1, 1, 3, 3}}) {
        INFO(to_string(e));
        const inputs<T> in(random, e, 2);
        const auto all = [&](index) { return e.keys; };
        const auto causal = [&](index i) { return i + 1 + e.keys - e.queries; };
        check_observers(in, all);
        check_observers(in, causal, heed::causal, heed::sink(0.5));
        check_observers(in, causal, heed::causal, heed::sparsemax);
    }
}

TEMPLATE_TEST_CASE("a sink that takes almost all changes neither sparsity nor digits", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(174);
    const inputs<T> in(random, {1, 2, 1, 37, 700, 8, 5}, 1.5);
    const bool is_float = std::is_same_v<T, float>;
    // A sink's own score is rounded, as all of them are.
    const double near = is_float ? 2e-5 : 1e-12;
    for (const double sink :
         is_float ? std::vector<double>{0, 40, 55, 70} : std::vector<double>{0, 60, 300, 640}) {
        INFO(sink);
        const auto p = heed::attention_weights(in.q, in.k, heed::causal, heed::sink(sink));
        const auto [o, stats, entropy, size, sparsity] =
            heed::attention_forward(in.q, in.k, in.v, heed::row_entropy, heed::causal,
                                    heed::sink(sink), heed::row_gradient_size, heed::row_sparsity);
        bool close = true;
        for (index h = 0; h < 2; ++h) {
            for (index i = 0; i < 37; ++i) {
                // In units of the greatest: its square is a number.
                double greatest = 0, sum = 0, square = 0, expected = 0;
                for (index j = 0; j < 700; ++j)
                    greatest = std::max(greatest, static_cast<double>(p(0, h, i, j)));
                for (index j = 0; j < 700; ++j) {
                    const auto x = static_cast<double>(p(0, h, i, j)), u = x / greatest;
                    sum += u;
                    square += u * u;
                    if (x > 0) expected -= x * std::log(x);
                }
                const double visible = static_cast<double>(i + 1 + 700 - 37);
                const auto found = static_cast<double>(sparsity(0, h, i));
                close &= std::abs(found - sum / std::sqrt(square * visible)) <= near;
                close &=
                    std::abs(static_cast<double>(entropy(0, h, i)) - expected) <= near * expected;
            }
        }
        CHECK(close);
    }
}

TEST_CASE("weights whose squares are beyond the scalar have a sparsity") {
    generator random(175);
    inputs<float> in(random, {1, 1, 1, 5, 300, 4, 4});
    const auto of = [&] {
        return std::get<0>(
            heed::attention_forward(in.q, in.k, in.v, heed::relu_squared, heed::row_sparsity)
                .observed);
    };
    const auto expected = of();
    // Sums of squares that a scalar cannot hold are formed in another order.
    const auto check = [&] {
        const auto found = of();
        for (index i = 0; i < 5; ++i)
            CHECK(found(0, 0, i) == Approx(expected(0, 0, i)).epsilon(1e-6));
    };
    in.q = in.q * 0x1p50f;  // probabilities of 2^100
    check();
    in.q = in.q * 0x1p-90f;  // and of 2^−80
    check();
}

TEST_CASE("observers at their ends: equal scores, one key, none") {
    generator random(172);
    inputs<double> in(random, {1, 1, 1, 3, 5, 4, 4});
    in.q.setZero();
    const std::vector<index> lengths{0};
    const auto [o, stats, entropy, sparsity] = heed::attention_forward(
        in.q, in.k, in.v, heed::causal, heed::row_entropy, heed::row_sparsity);
    for (index i = 0; i < 3; ++i) {
        CHECK(entropy(0, 0, i) == Approx(std::log(3. + static_cast<double>(i))));
        CHECK(sparsity(0, 0, i) == Approx(1));
    }
    const auto [no_o, no_stats, none, nothing, no_size] =
        heed::attention_forward(in.q, in.k, in.v, heed::key_lengths(lengths), heed::row_entropy,
                                heed::row_sparsity, heed::row_gradient_size);
    CHECK((none(0, 0, 1) == 0 && nothing(0, 0, 1) == 0 && no_size(0, 0, 1) == 0));
}

TEST_CASE("observers write to the caller's memory, the same for any number of threads") {
    generator random(173);
    const inputs<float> in(random, {2, 2, 1, 130, 300, 16, 16});
    const auto [o, stats, entropy] =
        heed::attention_forward(in.q, in.k, in.v, heed::causal, heed::row_entropy);
    Eigen::ThreadPool pool(3);
    Eigen::Tensor<float, 3, Eigen::RowMajor> own(2, 2, 130);
    tensor4<float> y(2, 2, 130, 16);
    heed::attention_into(y, in.q, in.k, in.v, heed::row_entropy.into(own), heed::causal,
                         always_on(pool));
    CHECK(same_bits(own, entropy));
    CHECK(same_bits(y, o));
    // Backward takes the same parts, and does not mind.
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                                   heed::row_entropy);
    const auto expected =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal);
    CHECK(same_bits(gradient.q, expected.q));

    Eigen::Tensor<float, 3, Eigen::RowMajor> wrong(2, 2, 131);
    CHECK_THROWS_WITH(heed::attention_into(y, in.q, in.k, in.v, heed::row_entropy.into(wrong)),
                      Catch::Matchers::Contains("the memory of an observer has shape [2, 2, 131]"));
    const Eigen::TensorMap<Eigen::Tensor<float, 3, Eigen::RowMajor>> inside(y.data(), 2, 2, 130);
    CHECK_THROWS_AS(heed::attention_into(y, in.q, in.k, in.v, heed::row_entropy.into(inside)),
                    heed::argument_error);

    // Two of them in one memory, or between one another's numbers.
    std::vector<float> both(2 * 2 * 130 * 2);
    const auto of = [&](index first, index step) {
        return heed::view(both.data() + first, {index(2), index(2), index(130)},
                          {260 * step, 130 * step, step});
    };
    const auto observe = [&](const auto& entropies, const auto& sparsities) {
        heed::attention_into(y, in.q, in.k, in.v, heed::row_entropy.into(entropies),
                             heed::row_sparsity.into(sparsities));
    };
    CHECK_THROWS_WITH(observe(of(0, 1), of(519, 1)),
                      "the memory of an observer (shape [2, 2, 130]) overlaps that of another "
                      "(shape [2, 2, 130]) in memory, but outputs must lie apart from one another");
    CHECK(both == std::vector<float>(1040));
    observe(of(0, 2), of(1, 2));
    const auto [same_o, same_stats, entropies, sparsities] =
        heed::attention_forward(in.q, in.k, in.v, heed::row_entropy, heed::row_sparsity);
    bool equal = true;
    for (std::size_t row = 0; row < 520; ++row)
        equal &=
            both[2 * row] == entropies.data()[row] && both[2 * row + 1] == sparsities.data()[row];
    CHECK(equal);
}

}  // namespace test_observers
