#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/masks/causal.hpp>
#include <heed/linear/detail/chi_quantile.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/random_features.hpp>

#include "linear/problem.hpp"

namespace test_favor {

using namespace heed_test;
using heed::index;
using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// softmax(q kᵀ/√d) v
row_major softmax_attention(const row_major& q, const row_major& k, const row_major& v) {
    row_major weights =
        (q * k.transpose() / std::sqrt(static_cast<double>(q.cols()))).array().exp();
    for (index i = 0; i < weights.rows(); ++i) weights.row(i) /= weights.row(i).sum();
    return weights * v;
}

/// Root-mean-square error over draws of so many directions. Larger q and k have estimates of a
/// variance e^(‖q + k‖²/√d), for which no number of directions is large.
double error_of(index count, heed::directions how, heed::direction_lengths lengths,
                bool both_signs = false) {
    generator random(960);
    constexpr int draws = 100;
    double sum = 0;
    for (int draw = 0; draw < draws; ++draw) {
        row_major q(16, 16), k(16, 16), v(16, 4);
        for (row_major* x : {&q, &k, &v}) random.fill_normal(*x, 0.4);
        const heed::random_features f({.dim = 16,
                                       .count = count,
                                       .seed = static_cast<std::uint64_t>(draw),
                                       .directions = how,
                                       .lengths = lengths});
        const auto map = both_signs ? heed::favor(f).both_signs() : heed::favor(f);
        const row_major difference =
            heed::linear_attention(q, k, v, map) - softmax_attention(q, k, v);
        sum += difference.squaredNorm() / static_cast<double>(difference.size());
    }
    return std::sqrt(sum / draws);
}

TEST_CASE("FAVOR+ approaches softmax attention as the root of the number of directions") {
    using heed::direction_lengths;
    using heed::directions;
    const auto drawn = [](index count) {
        return error_of(count, directions::independent, direction_lengths::chi);
    };
    const double few = drawn(32), many = drawn(2048);
    INFO(few << " with 32 directions, " << many << " with 2048");
    CHECK(few / many > 5);  // √64 = 8 of a mean of ratios
    CHECK(few / many < 12);
}

TEST_CASE("orthogonal directions err less than independent ones, and both signs less than one") {
    using heed::direction_lengths;
    using heed::directions;
    const double independent = error_of(64, directions::independent, direction_lengths::chi);
    const double orthogonal = error_of(64, directions::orthogonal, direction_lengths::chi);
    const double quantiles = error_of(64, directions::orthogonal, direction_lengths::quantiles);
    const double both = error_of(64, directions::orthogonal, direction_lengths::chi, true);
    INFO(independent << ", " << orthogonal << ", " << quantiles << ", " << both);
    CHECK(orthogonal < independent);
    CHECK(quantiles < independent);
    CHECK(both < orthogonal);
}

TEST_CASE("directions are what they are called") {
    const index dim = 6;
    using heed::direction_lengths;
    const heed::random_features f(
        {.dim = dim, .count = 15, .seed = 7, .lengths = direction_lengths::quantiles});
    const auto dot = [&](index a, index b) {
        double sum = 0;
        for (index c = 0; c < dim; ++c) sum += f(a, c) * f(b, c);
        return sum;
    };
    for (index a = 0; a < 15; ++a) {
        const double square = dot(a, a);
        CHECK(heed::detail::regularised_gamma(3, square / 2) ==
              Approx(static_cast<double>(a + 1) / 16).epsilon(1e-10));
        for (index b = a / dim * dim; b < a; ++b) CHECK(std::abs(dot(a, b)) < 1e-12);
    }
    const heed::random_features same({.dim = dim, .count = 15, .seed = 7});
    const auto other = same.redrawn(8);
    CHECK(same.redrawn(7)(3, 2) == same(3, 2));
    CHECK(other(3, 2) != same(3, 2));
    const heed::random_features roots(
        {.dim = dim, .count = 4, .lengths = direction_lengths::root_dim});
    double square = 0;
    for (index c = 0; c < dim; ++c) square += roots(1, c) * roots(1, c);
    CHECK(square == Approx(6));
}

TEST_CASE("the chi distribution") {
    using heed::detail::chi_quantile;
    using heed::detail::regularised_gamma;
    // One degree: |normal|; two degrees: Rayleigh's.
    CHECK(chi_quantile(0.6826894921370859, 1) == Approx(1).epsilon(1e-12));
    CHECK(chi_quantile(0.9, 2) == Approx(std::sqrt(-2 * std::log(0.1))).epsilon(1e-12));
    CHECK(regularised_gamma(1, 3) == Approx(1 - std::exp(-3.0)).epsilon(1e-14));
    CHECK(regularised_gamma(2.5, 0) == 0);
    for (const index dim : {1, 3, 64, 4096})
        for (const double p : {1e-6, 0.1, 0.5, 0.999}) {
            const double r = chi_quantile(p, dim);
            CHECK(regularised_gamma(static_cast<double>(dim) / 2, r * r / 2) ==
                  Approx(p).epsilon(1e-9));
        }
}

}  // namespace test_favor
