#include <cmath>
#include <limits>

#include <heed/attention/attention_weights.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>

#include "attention/normaliser_check.hpp"
#include "reference/dense.hpp"
#include "rows/row_objects.hpp"
#include "support/attention_kernels.hpp"

namespace test_entropy_attention {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

TEST_CASE("attention of a given entropy, clamped to what a row can attain") {
    for_problems(91, [&](generator& random, problem from) {
        from.slack = 64;  // γ is as exact as the entropy is
        reference::options how;
        const double entropy = 1.2;
        how.normaliser = reference::entropy_normalised(entropy);
        how.visible = reference::causal(from.sizes.queries, from.sizes.keys);
        const auto normaliser = heed::entropy_normalised(entropy);
        check_normaliser<float>(from, how, heed::causal, normaliser);
        check_normaliser<double>(from, how, heed::causal, normaliser);
        check_output_differences(random, from, heed::causal, normaliser);
    });
}

TEST_CASE("every row has the entropy asked for, or the nearest that it can have") {
    generator random(92);
    const inputs<double> in(random, {1, 2, 1, 40, 40, 8, 4});
    const double entropy = 2;
    const auto p =
        heed::attention_weights(in.q, in.k, heed::causal, heed::entropy_normalised(entropy));
    for (index h = 0; h < 2; ++h) {
        for (index i = 0; i < 40; ++i) {
            double actual = 0;
            for (index j = 0; j < 40; ++j)
                if (p(0, h, i, j) > 0) actual -= p(0, h, i, j) * std::log(p(0, h, i, j));
            CHECK(actual ==
                  Approx(std::min(entropy, std::log(static_cast<double>(i + 1)))).margin(1e-12));
        }
    }
}

TEMPLATE_TEST_CASE("an entropy given to attention does not depend on the scale of the scores", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(94);
    inputs<T> in(random, {1, 1, 1, 20, 33, 8, 4});
    // As the scores are products, q alone is scaled.
    const auto d_o = random.tensor<T>(1, 1, 20, 4);
    const auto normaliser = heed::entropy_normalised(1.3);
    const auto q = in.q;
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, normaliser);
    const auto grad = heed::attention_backward(d_o, o, stats, in.q, in.k, in.v, normaliser);
    const int most = std::numeric_limits<T>::max_exponent;
    for (const int exponent : {-most + 26, -most / 2, most / 2, most - 8}) {
        INFO("2^" << exponent);
        const T scale = std::ldexp(T(1), exponent);
        in.q = q * scale;
        const auto [scaled, of_scaled] = heed::attention_forward(in.q, in.k, in.v, normaliser);
        const auto d =
            heed::attention_backward(d_o, scaled, of_scaled, in.q, in.k, in.v, normaliser);
        for (index i = 0; i < o.size(); ++i)
            CHECK(scaled.data()[i] == Approx(o.data()[i]).margin(1e3 * unit<T>));
        for (index i = 0; i < grad.v.size(); ++i)
            CHECK(d.v.data()[i] == Approx(grad.v.data()[i]).margin(1e3 * unit<T>));
        // dk = dSᵀq, where dS has the inverse scale of q.
        for (index i = 0; i < grad.k.size(); ++i)
            CHECK(d.k.data()[i] == Approx(grad.k.data()[i]).margin(1e4 * unit<T>));
    }
}

TEST_CASE("the gradient of a learned entropy") {
    generator random(93);
    const problem from(random, {2, 2, 1, 19, 37, 5, 6});
    const inputs<double> in(from);
    const double entropy = 1.7, h = 1e-5;
    const auto lengths = heed::key_lengths({0, 29});
    const auto learned = heed::learn(heed::entropy_normalised(entropy));
    const auto gradient = check_output_differences(random, from, lengths, learned);
    const auto loss = [&](double at) {
        return output_loss(in, lengths, heed::entropy_normalised(at));
    };
    CHECK(gradient.of<0>()(0) ==
          Approx((loss(entropy + h) - loss(entropy - h)) / (2 * h)).epsilon(1e-7));
}

}  // namespace test_entropy_attention
