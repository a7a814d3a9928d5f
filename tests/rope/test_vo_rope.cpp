#include <cmath>
#include <cstddef>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotate.hpp>

#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_vo_rope {

using heed::index;
using matrix = Eigen::MatrixXd;

/// R_p v, pairs in halves.
Eigen::VectorXd turned(const Eigen::VectorXd& v, const heed::rope::frequencies& rope, double p) {
    Eigen::VectorXd y = v;
    const index pairs = rope.pairs();
    for (index t = 0; t < pairs; ++t) {
        const double angle = p * rope.angular()[static_cast<std::size_t>(t)];
        y(t) = v(t) * std::cos(angle) - v(t + pairs) * std::sin(angle);
        y(t + pairs) = v(t) * std::sin(angle) + v(t + pairs) * std::cos(angle);
    }
    return y;
}

/// VO-RoPE as docs/rope/vo_rope.md composes it, of queries that are the last of the keys.
matrix vo_rope(const matrix& q, const matrix& k, const matrix& v,
               const heed::rope::frequencies& rope, double first) {
    const auto last = first + static_cast<double>(k.rows() - q.rows());
    const matrix inner = heed::attention(q, k, matrix(heed::rotate(v, rope, first)), heed::causal);
    return heed::rotate_back(inner, rope, last);
}

TEST_CASE("rotated values and outputs weigh values turned by the distance") {
    heed_test::generator random;
    const matrix q = random.matrix<double>(9, 6), k = random.matrix<double>(14, 6);
    const matrix v = random.matrix<double>(14, 10);
    const auto rope = heed::rope::plain({.dim = 8, .base = 100});
    const matrix o = vo_rope(q, k, v, rope, 0);
    for (index i = 0; i < 9; ++i) {
        // o_i = Σ_j p_ij R_{j−i} v_j
        const index at = i + 5;
        Eigen::VectorXd sum = Eigen::VectorXd::Zero(10);
        double total = 0;
        for (index j = 0; j <= at; ++j) {
            const double weight = std::exp(q.row(i).dot(k.row(j)) / std::sqrt(6.0));
            sum += weight * turned(v.row(j), rope, static_cast<double>(j - at));
            total += weight;
        }
        for (index c = 0; c < 10; ++c) CHECK(o(i, c) == Approx(sum(c) / total).margin(1e-12));
    }
    // Only distances count.
    const matrix later = vo_rope(q, k, v, rope, 1000);
    for (index e = 0; e < o.size(); ++e)
        CHECK(later.data()[e] == Approx(o.data()[e]).margin(1e-10));
}

}  // namespace test_vo_rope
