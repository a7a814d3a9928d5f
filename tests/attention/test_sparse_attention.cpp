#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/attention_weights.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/entmax_of_heads.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/normaliser_check.hpp"
#include "reference/sparse.hpp"
#include "support/attention_kernels.hpp"
#include "support/refused.hpp"

/// \file
/// Attention with sparse normalisers: their supports gathered, kept, and gone back through.

namespace test_sparse_attention {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

const reference::row_normaliser sparsemax_rows{
    [](const reference::row& x) { return reference::sparsemax(x); },
    [](const reference::row& x, const reference::row& dp) {
        return reference::sparsemax_backward(reference::sparsemax(x), dp);
    }};
const reference::row_normaliser entmax15_rows{
    [](const reference::row& x) { return reference::entmax15(x); },
    [](const reference::row& x, const reference::row& dp) {
        return reference::entmax_backward(reference::entmax15(x), 1.5, dp);
    }};

/// Scores of every spread: from one key a row to all of them.
template <class F>
void for_spreads(std::uint64_t stream, F&& f) {
    generator random(stream);
    for (int round = 0; round < 8; ++round) {
        const extents e = round % 2 == 0 ? random_extents(random) : long_extents(random);
        problem from(random, e, round % 4 < 2 ? 1 : 0.1);
        from.slack = 16;  // a threshold is as exact as the scores are
        f(random, from);
    }
}

TEST_CASE("sparsemax attention is the reference's") {
    for_spreads(181, [](generator&, const problem& from) {
        reference::options how;
        how.normaliser = sparsemax_rows;
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_normaliser<float>(from, how, heed::sparsemax, heed::causal);
        check_normaliser<double>(from, how, heed::sparsemax, heed::causal);
    });
}

TEST_CASE("entmax-1.5 attention is the reference's, and its gradients are slopes") {
    for_spreads(182, [](generator& random, const problem& from) {
        reference::options how;
        how.normaliser = entmax15_rows;
        how.modifiers = {reference::soft_cap(3)};
        check_normaliser<float>(from, how, heed::soft_cap(3), heed::entmax15);
        check_normaliser<double>(from, how, heed::soft_cap(3), heed::entmax15);
        check_output_differences(random, from, heed::soft_cap(3), heed::entmax15);
    });
}

reference::row_normaliser entmax_rows(double alpha) {
    return {[=](const reference::row& x) { return reference::entmax(x, alpha); },
            [=](const reference::row& x, const reference::row& dp) {
                return reference::entmax_backward(reference::entmax(x, alpha), alpha, dp);
            }};
}

TEST_CASE("entmax attention of any alpha is the reference's") {
    for_spreads(184, [](generator&, problem from) {
        from.slack = 256;
        reference::options how;
        for (const double alpha : {1.25, 3.0}) {
            INFO("alpha " << alpha);
            how.normaliser = entmax_rows(alpha);
            check_normaliser<double>(from, how, heed::entmax(alpha));
        }
    });
}

TEST_CASE("the gradient of a learned alpha") {
    generator random(185);
    const problem from(random, {2, 2, 1, 19, 137, 5, 6});
    const inputs<double> in(from);
    const double alpha = 1.4, h = 1e-5;
    const auto gradient =
        check_output_differences(random, from, heed::causal, heed::learn(heed::entmax(alpha)));
    const auto loss = [&](double at) { return output_loss(in, heed::causal, heed::entmax(at)); };
    CHECK(gradient.of<0>()(0) ==
          Approx((loss(alpha + h) - loss(alpha - h)) / (2 * h)).epsilon(1e-6));
}

TEST_CASE("entmax with an alpha for each head, learned") {
    for_spreads(186, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        Eigen::VectorXd alphas(e.heads);
        for (index h = 0; h < e.heads; ++h) alphas(h) = random.one_of({1.0, 1.3, 1.5, 2.0});
        const auto head_of = [](const tensor4<double>& x, index h) {
            using at = Eigen::array<index, 4>;
            return tensor4<double>(
                x.slice(at{0, h, 0, 0}, at{x.dimension(0), 1, x.dimension(2), x.dimension(3)}));
        };
        // A head has the bits of that α.
        const inputs<double> in(from);
        const auto o = heed::attention(in.q, in.k, in.v, heed::causal, heed::entmax(alphas));
        const index h = random.integer(0, e.heads - 1);
        const auto own = heed::attention(in.q, in.k, in.v, heed::causal, heed::entmax(alphas(h)));
        CHECK(same_bits(head_of(o, h), head_of(own, h)));
    });

    generator random(187);
    const problem from(random, {2, 4, 2, 19, 137, 5, 6});
    const inputs<double> in(from);
    Eigen::VectorXd alphas(4);
    alphas << 1.2, 1.4, 1.7, 1.9;
    const auto gradient =
        check_output_differences(random, from, heed::causal, heed::learn(heed::entmax(alphas)));
    for (index h = 0; h < 4; ++h)
        CHECK(gradient.of<0>()(h) == Approx(slope_at(alphas(h), [&] {
                                         return output_loss(in, heed::causal, heed::entmax(alphas));
                                     })).epsilon(1e-6));
}

TEST_CASE("an alpha for each head refuses what does not fit") {
    check_refused<heed::argument_error>(
        "heed::entmax: alpha of head 1 is 0.5, but must be at least 1 and finite", [] {
            (void)heed::entmax(std::vector<double>{2, 0.5});
        });
    generator random(188);
    const inputs<float> in(random, {1, 4, 2, 3, 5, 4, 4});
    check_refused<heed::shape_error>("heed::entmax has 3 alphas, but there are 4 query heads", [&] {
        (void)heed::attention(in.q, in.k, in.v, heed::entmax(std::vector<float>{1, 1.5F, 2}));
    });
}

TEST_CASE("attention to the k highest scores, and to the fewest of a given mass") {
    for_spreads(186, [](generator& random, const problem& from) {
        reference::options how;
        how.normaliser = reference::row_normaliser{
            [](const reference::row& x) { return reference::sparse_softmax(x, 5); },
            [](const reference::row& x, const reference::row& dp) {
                const auto p = reference::sparse_softmax(x, 5);
                double mean = 0;
                for (std::size_t j = 0; j < p.size(); ++j) mean += p[j] * dp[j];
                reference::row dx(p.size());
                for (std::size_t j = 0; j < p.size(); ++j) dx[j] = p[j] * (dp[j] - mean);
                return dx;
            }};
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        check_normaliser<double>(from, how, heed::causal, heed::sparse_softmax(5));
        check_output_differences(random, from, heed::sparse_softmax_by_mass(0.8));
    });
}

TEST_CASE("sparse attention at the ends: NaN in one row, no key, a key far above all") {
    generator random(183);
    inputs<float> in(random, {1, 1, 1, 40, 300, 8, 8}, 2);
    in.q(0, 0, 7, 3) = std::numeric_limits<float>::quiet_NaN();
    const auto o = heed::attention(in.q, in.k, in.v, heed::entmax15);
    for (index i = 0; i < 40; ++i) CHECK(std::isnan(o(0, 0, i, 0)) == (i == 7));

    const std::vector<index> none{0};
    const auto [zero, stats] =
        heed::attention_forward(in.q, in.k, in.v, heed::entmax15, heed::key_lengths(none));
    CHECK(stats.support_size(0, 0, 3) == 0);
    const Eigen::Tensor<float, 0, Eigen::RowMajor> largest = zero.abs().maximum();
    CHECK(largest() == 0);

    in.q(0, 0, 7, 3) = 0;
    for (index c = 0; c < 8; ++c) in.k(0, 0, 123, c) = 1e4F * in.q(0, 0, 5, c);
    const auto [one, of_one] = heed::attention_forward(in.q, in.k, in.v, heed::entmax15);
    CHECK(of_one.support_size(0, 0, 5) == 1);
    for (index c = 0; c < 8; ++c) CHECK(one(0, 0, 5, c) == in.v(0, 0, 123, c));
}

}  // namespace test_sparse_attention
