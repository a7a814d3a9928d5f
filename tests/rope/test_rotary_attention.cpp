#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/positions.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotate.hpp>

#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

// Attention with heed::rotary is heed::rotate and then attention, to the bit: the kernel rotates
// rows before it does anything else with them. What the rotation itself computes is tested beside.

namespace test_rotary_attention {

using heed::index;
using heed_test::same_bits;

template <class T>
using tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

template <class T>
struct problem {
    tensor<T> q, k, v, d_o;

    problem(index queries, index keys, index dim) {
        heed_test::generator random;
        q = random.tensor<T>(2, 4, queries, dim);
        k = random.tensor<T>(2, 2, keys, dim);
        v = random.tensor<T>(2, 2, keys, 19);
        d_o = random.tensor<T>(2, 4, queries, 19);
    }
};

/// `where` are the positions of queries and keys as rotate takes them, `parts` what says the same
/// to attention.
template <class T, class Queries, class Keys, class... Parts>
void check_fused(const problem<T>& x, const heed::rope::frequencies& rope, const Queries& queries,
                 const Keys& keys, const Parts&... parts) {
    const tensor<T> q = heed::rotate(x.q, rope, queries), k = heed::rotate(x.k, rope, keys);
    const auto [o, stats] = heed::attention_forward(x.q, x.k, x.v, heed::rotary(rope), parts...);
    const auto [o_apart, stats_apart] = heed::attention_forward(q, k, x.v, parts...);
    CHECK(same_bits(o, o_apart));

    const auto fused =
        heed::attention_backward(x.d_o, o, stats, x.q, x.k, x.v, parts..., heed::rotary(rope));
    const auto apart = heed::attention_backward(x.d_o, o_apart, stats_apart, q, k, x.v, parts...);
    CHECK(same_bits(fused.q, heed::rotate_back(apart.q, rope, queries)));
    CHECK(same_bits(fused.k, heed::rotate_back(apart.k, rope, keys)));
    CHECK(same_bits(fused.v, apart.v));
}

TEMPLATE_TEST_CASE("rotary attention is rotation and then attention, forward and backward", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    for (const auto layout : {heed::rope::halves, heed::rope::interleaved}) {
        const auto rope = heed::rope::plain({.dim = 24, .layout = layout});
        check_fused<T>(problem<T>(70, 70, 24), rope, 0, 0);
        check_fused<T>(problem<T>(70, 70, 30), rope, 0, 0, heed::causal);
        // The last query stands with the last key.
        check_fused<T>(problem<T>(13, 301, 24), rope, 288, 0, heed::causal);
        check_fused<T>(problem<T>(9, 5, 24), rope, -4, 0);
    }
}

TEMPLATE_TEST_CASE("rotary attention at positions of one's own", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto rope = heed::rope::plain({.dim = 24});
    const problem<T> x(40, 50, 24);
    std::vector<int> keys(50);
    Eigen::MatrixXd queries(2, 40);
    for (int& key : keys) key = static_cast<int>(random.integer(0, 4000));
    for (index e = 0; e < queries.size(); ++e) queries.data()[e] = random.uniform(0, 4000);
    check_fused<T>(x, rope, queries, keys, heed::positions(queries, keys));
}

TEST_CASE("the scores of rotary attention depend on differences of positions only") {
    const auto rope = heed::rope::plain({.dim = 24});
    const problem<double> x(30, 30, 24);
    std::vector<double> here(30), there(30);
    for (std::size_t i = 0; i < here.size(); ++i) {
        here[i] = 0.7 * static_cast<double>(i * i % 17);
        there[i] = here[i] + 5000.5;
    }
    const tensor<double> o =
        heed::attention(x.q, x.k, x.v, heed::rotary(rope), heed::positions(here));
    const tensor<double> shifted =
        heed::attention(x.q, x.k, x.v, heed::rotary(rope), heed::positions(there));
    const Eigen::Tensor<double, 0, Eigen::RowMajor> difference = (o - shifted).abs().maximum();
    CHECK(difference() < 1e-10);
    const tensor<double> plain = heed::attention(x.q, x.k, x.v);
    const Eigen::Tensor<double, 0, Eigen::RowMajor> effect = (o - plain).abs().maximum();
    CHECK(effect() > 1e-3);
}

TEST_CASE("an attention factor scales scores by its square") {
    const auto plain = heed::rope::plain({.dim = 24});
    const heed::rope::frequencies scaled(plain.angular(), heed::rope::halves, 1.5);
    const problem<double> x(20, 20, 24);
    const tensor<double> expected = heed::attention(x.q * 2.25, x.k, x.v, heed::rotary(plain));
    const tensor<double> o = heed::attention(x.q, x.k, x.v, heed::rotary(scaled));
    const Eigen::Tensor<double, 0, Eigen::RowMajor> difference = (o - expected).abs().maximum();
    CHECK(difference() < 1e-12);
}

TEST_CASE("rotary attention refuses more rotated dimensions than q has") {
    const problem<float> x(4, 4, 16);
    CHECK_THROWS_AS(heed::attention(x.q, x.k, x.v, heed::rotary(heed::rope::plain({.dim = 18}))),
                    heed::shape_error);
    CHECK_THROWS_AS(heed::attention(x.q, x.k, x.v, heed::positions(std::vector<int>(3))),
                    heed::shape_error);
}

}  // namespace test_rotary_attention
