#include <algorithm>
#include <cmath>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/rope/axes.hpp>
#include <heed/rope/axial_rotary.hpp>
#include <heed/rope/positions.hpp>
#include <heed/rope/rotate_axes.hpp>

#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_axial_rotary {

using heed::index;
using heed::rope::axial_frequencies;
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
void check_fused(const axial_frequencies& rope, const Queries& at_queries, const Keys& at_keys,
                 index n, index m) {
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
    check_fused(rope, random.matrix<double, Eigen::RowMajor>(3, 2), grid, 3, 35);
    const axial_frequencies shared({{1, 0.1}, {-0.5, 2}}, heed::rope::interleaved, 1.1);
    const auto own = random.tensor<double>(2, 35, 2);
    check_fused(shared, grid, own, 35, 35);
}

TEST_CASE("parts own what they are given as temporary objects") {
    heed_test::generator random;
    const tensor q = random.tensor<double>(1, 1, 6, 8), v = random.tensor<double>(1, 1, 6, 3);
    const auto rope = heed::rope::axial({.dims = {4, 4}});
    const auto grid = heed::rope::grid_positions({2, 3});
    const auto viewing = heed::axial_rotary(rope, grid, grid);
    const auto owning =
        heed::axial_rotary(heed::rope::axial({.dims = {4, 4}}), heed::rope::grid_positions({2, 3}),
                           heed::rope::grid_positions({2, 3}));
    CHECK(tensors_apart(heed::attention(q, q, v, heed::causal, viewing),
                        heed::attention(q, q, v, heed::causal, owning)) == 0);
}

TEST_CASE("positions of another shape are refused, naming them") {
    using Catch::Matchers::Contains;
    heed_test::generator random;
    const tensor q = random.tensor<double>(1, 1, 6, 8), v = random.tensor<double>(1, 1, 6, 3);
    const auto rope = heed::rope::axial({.dims = {4, 4}}),
               wide = heed::rope::axial({.dims = {8, 4}});
    const auto grid = heed::rope::grid_positions({2, 3}), less = heed::rope::grid_positions({5, 1});
    const auto volume = heed::rope::grid_positions({1, 2, 3});
    const auto attend = [&](const axial_frequencies& by, const auto& queries, const auto& keys) {
        return heed::attention(q, q, v, heed::causal, heed::axial_rotary(by, queries, keys));
    };
    CHECK_NOTHROW(attend(rope, grid, grid));
    CHECK_THROWS_AS(attend(rope, less, grid), heed::shape_error);
    CHECK_THROWS_WITH(attend(rope, grid, less), Contains("keys have shape [5, 2]"));
    CHECK_THROWS_AS(attend(rope, volume, grid), heed::shape_error);
    CHECK_THROWS_AS(attend(wide, grid, grid), heed::shape_error);
}

}  // namespace test_axial_rotary
