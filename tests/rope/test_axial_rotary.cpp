#include <algorithm>
#include <cmath>

#include <heed/attention/attention.hpp>
#include <heed/attention/causal.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/axial_rotary.hpp>
#include <heed/rope/positions.hpp>
#include <heed/rope/rotate_axes.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_axial_rotary {

using heed::index;
using tensor = Eigen::Tensor<double, 4, Eigen::RowMajor>;

double tensors_apart(const tensor& a, const tensor& b) {
    REQUIRE(a.size() == b.size());
    double worst = 0;
    for (index e = 0; e < a.size(); ++e)
        worst = std::max(worst, std::abs(a.data()[e] - b.data()[e]));
    return worst;
}

/// What fused attention gives, forward and backward, is rotation before plain attention.
template <class Queries, class Keys>
void check_fused(const heed::rope::axial_frequencies& rope, const Queries& at_queries,
                 const Keys& at_keys, index n, index m) {
    heed_test::generator random;
    const tensor q = random.tensor<double>(2, 4, n, 19), k = random.tensor<double>(2, 2, m, 19);
    const tensor v = random.tensor<double>(2, 2, m, 7), d_o = random.tensor<double>(2, 4, n, 7);
    const tensor turned_q = heed::rotate(q, rope, at_queries);
    const tensor turned_k = heed::rotate(k, rope, at_keys);
    const auto [expected, expected_stats] =
        heed::attention_forward(turned_q, turned_k, v, heed::causal);
    const auto [dq, dk, dv] = heed::attention_backward(d_o, expected, expected_stats, turned_q,
                                                       turned_k, v, heed::causal);

    const auto part = heed::axial_rotary(rope, at_queries, at_keys);
    const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, part);
    const auto grad = heed::attention_backward(d_o, o, stats, q, k, v, heed::causal, part);
    CHECK(tensors_apart(o, expected) < 1e-13);
    CHECK(tensors_apart(grad.q, heed::rotate_back(dq, rope, at_queries)) < 1e-12);
    CHECK(tensors_apart(grad.k, heed::rotate_back(dk, rope, at_keys)) < 1e-12);
    CHECK(tensors_apart(grad.v, dv) < 1e-12);
}

TEST_CASE("fused rotation by axes is rotate, then attend") {
    heed_test::generator random;
    const auto rope = heed::rope::axial({.dims = {6, 12}, .base = 100});
    const auto grid = heed::rope::grid_positions({5, 7});
    check_fused(rope, grid, grid, 35, 35);
    const Eigen::MatrixXd few = random.matrix<double>(3, 2);
    check_fused(rope, few, grid, 3, 35);
    const auto own = random.tensor<double>(2, 35, 2);
    check_fused(rope, grid, own, 35, 35);
    check_fused(heed::rope::axial_frequencies({{1, 0.1}, {-0.5, 2}}, heed::rope::interleaved, 1.1),
                own, own, 35, 35);
}

TEST_CASE("parts own what they are given as temporary objects") {
    heed_test::generator random;
    const auto q = random.tensor<float>(1, 1, 6, 8), k = random.tensor<float>(1, 1, 6, 8);
    const auto v = random.tensor<float>(1, 1, 6, 3);
    const auto rope = heed::rope::axial({.dims = {4, 4}});
    const auto grid = heed::rope::grid_positions({2, 3});
    const auto viewing = heed::axial_rotary(rope, grid, grid);
    const auto owning =
        heed::axial_rotary(heed::rope::axial({.dims = {4, 4}}), heed::rope::grid_positions({2, 3}),
                           heed::rope::grid_positions({2, 3}));
    const auto a = heed::attention(q, k, v, viewing), b = heed::attention(q, k, v, owning);
    for (index e = 0; e < a.size(); ++e) CHECK(a.data()[e] == b.data()[e]);
}

TEST_CASE("positions of another shape are refused, naming them") {
    using Catch::Matchers::Contains;
    const Eigen::MatrixXf q = Eigen::MatrixXf::Zero(6, 8), v = Eigen::MatrixXf::Zero(6, 3);
    const auto rope = heed::rope::axial({.dims = {4, 4}});
    const auto grid = heed::rope::grid_positions({2, 3}), less = heed::rope::grid_positions({5, 1});
    const auto volume = heed::rope::grid_positions({1, 2, 3});
    CHECK_NOTHROW(heed::attention(q, q, v, heed::axial_rotary(rope, grid, grid)));
    CHECK_THROWS_AS(heed::attention(q, q, v, heed::axial_rotary(rope, less, grid)),
                    heed::shape_error);
    CHECK_THROWS_WITH(heed::attention(q, q, v, heed::axial_rotary(rope, grid, less)),
                      Contains("keys have shape [5, 2]"));
    CHECK_THROWS_AS(heed::attention(q, q, v, heed::axial_rotary(rope, volume, grid)),
                    heed::shape_error);
    CHECK_THROWS_AS(
        heed::attention(q, q, v,
                        heed::axial_rotary(heed::rope::axial({.dims = {8, 4}}), grid, grid)),
        heed::shape_error);
}

}  // namespace test_axial_rotary
