#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include <heed/attention/scales/gradient_maximising_scale.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>

#include "reference/scales.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_scales {

using heed::index;  // inside a namespace: <strings.h> has a global one

const heed::attention_shape shape{
    .batch = 2, .heads = 4, .kv_heads = 2, .queries = 6, .keys = 900, .dim = 48, .value_dim = 16};

/// c of a row of head `head` that sees `visible` keys.
template <class Scale>
double factor(const Scale& scale, index visible = 0, index head = 0) {
    scale.check(shape);
    return scale.on_row({.batch = 1, .head = head, .query = 3}, shape, visible);
}

template <class Scale>
void check_call(const Scale& scale) {
    scale.check(shape);
}

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST_CASE("the standard scale is one over the root of d") {
    CHECK(factor(heed::standard_scale) == Approx(reference::standard_scale(48)).epsilon(1e-15));
}

TEST_CASE("a constant scale is the number, or the number of the head") {
    CHECK(factor(heed::scale(2)) == 2);
    CHECK(factor(heed::scale(0.125f)) == 0.125);
    std::vector<float> factors{1, 2, 3, 4};
    CHECK(factor(heed::scale(factors), 0, 2) == 3);
    CHECK(factor(heed::scale(std::vector<double>{5, 6, 7, 8}), 0, 1) == 6);
    const Eigen::RowVector4d row(5, 6, 7, 8);
    CHECK(factor(heed::scale(row), 0, 3) == 8);
    CHECK(factor(heed::scale(2 * row), 0, 3) == 16);
}

TEST_CASE("a vector given as an lvalue is viewed, one given as an rvalue is owned") {
    std::vector<float> factors{1, 2, 3, 4};
    const auto viewing = heed::scale(factors);
    const auto owning = heed::scale(std::vector<float>(factors));
    factors[2] = 30;
    CHECK(factor(viewing, 0, 2) == 30);
    CHECK(factor(owning, 0, 2) == 3);
}

TEST_CASE("the scales of log n follow their formulas") {
    heed_test::generator random;
    for (int round = 0; round < 50; ++round) {
        const index n = random.integer(0, 900);
        const double base = random.uniform(1.5, 4000);
        INFO("n = " << n << ", base = " << base);
        CHECK(factor(heed::log_n_scale(), n) ==
              Approx(reference::log_n_scale(n, 48)).epsilon(1e-14));
        CHECK(factor(heed::log_n_scale(base), n) ==
              Approx(reference::log_n_scale(n, 48, base)).epsilon(1e-14));
        CHECK(factor(heed::log_n_scale_kappa(base), n) ==
              Approx(reference::kappa_scale(n, 48, base)).epsilon(1e-14));
        CHECK(factor(heed::log_n_scale_after_training(base), n) ==
              Approx(reference::log_n_after_training_scale(n, 48, base)).epsilon(1e-14));
    }
}

TEST_CASE("the scales of log n at counts that one can tell") {
    CHECK(factor(heed::log_n_scale(512), 512) == Approx(factor(heed::standard_scale)));
    CHECK(factor(heed::log_n_scale(16), 256) == Approx(2 * factor(heed::standard_scale)));
    CHECK(factor(heed::log_n_scale_after_training(512), 100) == factor(heed::standard_scale));
    for (const index n : {0, 1}) {
        CHECK(factor(heed::log_n_scale(), n) == 0);
        CHECK(factor(heed::log_n_scale_kappa(3), n) == 0);
        CHECK(factor(heed::key_norm.log_n(512), n) == 0);
    }
    STATIC_REQUIRE(decltype(heed::log_n_scale())::needs_visible_count);
    STATIC_REQUIRE(decltype(heed::cosine.log_n_kappa(4))::needs_visible_count);
    STATIC_REQUIRE(!decltype(heed::scale(1))::needs_visible_count);
}

TEST_CASE("norms of keys and queries: what they normalise, and their c") {
    const auto norms = [](const auto& part) {
        using type = std::remove_cvref_t<decltype(part)>;
        return std::tuple(type::normalises_query, type::normalises_key);
    };
    CHECK(norms(heed::key_norm) == std::tuple(false, true));
    CHECK(norms(heed::query_norm) == std::tuple(true, false));
    CHECK(norms(heed::cosine) == std::tuple(true, true));
    CHECK(norms(heed::key_norm.log_n(512)) == std::tuple(false, true));
    CHECK(norms(heed::cosine.scale(20)) == std::tuple(true, true));
    CHECK(norms(heed::standard_scale) == std::tuple(false, false));

    CHECK(factor(heed::key_norm) == 1);
    CHECK(factor(heed::query_norm) == 1);
    CHECK(factor(heed::cosine.scale(20)) == 20);
    CHECK(factor(heed::query_norm.scale(std::vector<double>{1, 2, 3, 4}), 0, 2) == 3);
    CHECK(factor(heed::key_norm.log_n(10), 100) == Approx(2));
    CHECK(factor(heed::cosine.log_n_kappa(4), 100) == Approx(4 * std::log(100.0)));
}

TEST_CASE("the gradient-maximising alpha of normal scores is the root, and the maximum") {
    CHECK(heed::gradient_maximising_alpha(1) == 0);
    heed_test::generator random;
    int steps = 0;
    for (int r = 0; r < 20000; ++r) {
        const double n = r % 2 == 0 ? std::exp(random.uniform(0, 36.7))
                                    : 1 + std::pow(10, random.uniform(-15.6, 3));
        steps = std::max(steps, heed::detail::find_gradient_maximising_alpha(n).steps);
    }
    CHECK(steps <= 10);
    for (const double n : {1.0001, 1.5, 2.0, 8.0, 64.0, 512.0, 2048.0, 1e6, 1e15}) {
        INFO("n = " << n);
        const double alpha = heed::gradient_maximising_alpha(n);
        const double square = alpha * alpha;
        CHECK(square + std::log1p(2 * square) == Approx(std::log(n)).epsilon(1e-14).margin(1e-15));
        // Golden section finds a maximum to half the digits.
        CHECK(alpha == Approx(reference::gradient_maximising_normal(n)).epsilon(2e-6));
    }
}

TEST_CASE("the fit of the gradient-maximising alpha is off by as much as is known of it") {
    const auto excess_of_fit = [](double n) {
        return 0.84 * std::sqrt(std::log(n)) / heed::gradient_maximising_alpha(n) - 1;
    };
    CHECK(excess_of_fit(8) == Approx(0.22).margin(0.005));
    CHECK(excess_of_fit(512) == Approx(0.045).margin(0.0005));
    CHECK(factor(heed::gradient_maximising_scale(512)) ==
          Approx(heed::gradient_maximising_alpha(512) / std::sqrt(48.0)));
}

TEST_CASE("the gradient-maximising alpha of cosine scores: closed form and known values") {
    // In three dimensions a cosine is uniform: E[e^{as}] = sinh(a)/a.
    for (const double n : {3.0, 40.0, 1000.0}) {
        INFO("n = " << n);
        const double alpha = heed::gradient_maximising_cosine_alpha(n, 3);
        const auto objective = [&](double a) {
            const double ratio = std::sinh(2 * a) / (2 * a) / std::pow(std::sinh(a) / a, 2) / n;
            return a * (1 - ratio);
        };
        if (alpha < 300) {
            CHECK(objective(alpha) >= objective(alpha * (1 + 1e-4)));
            CHECK(objective(alpha) >= objective(alpha * (1 - 1e-4)));
        }
        // There a·coth(a) is a: the maximum of a − a²/n is at n/2.
        if (n >= 40) CHECK(alpha == Approx(n / 2).epsilon(1e-9));
    }
    const auto over_log = [](double n) {
        return heed::gradient_maximising_cosine_alpha(n, 128) / std::log(n);
    };
    CHECK(over_log(40) == Approx(4.56).margin(0.005));
    CHECK(over_log(20000) == Approx(3.40).margin(0.005));
    CHECK(heed::gradient_maximising_cosine_alpha(1, 64) == 0);
}

TEST_CASE("the gradient-maximising alpha of cosine scores agrees with quadrature") {
    for (const index d : {2, 4, 64}) {
        for (const double n : {2.0, 30.0}) {
            INFO("n = " << n << ", d = " << d);
            CHECK(heed::gradient_maximising_cosine_alpha(n, d) ==
                  Approx(reference::gradient_maximising_cosine(n, d)).epsilon(1e-6));
        }
    }
}

TEST_CASE("the gradient-maximising alpha of cosine scores is the root, to its stated accuracy") {
    struct root {
        double n;
        index d;
        double alpha;
    };
    // In eighty digits, by mpmath's Bessel functions.
    const auto error_of = [](const root& r) {
        INFO("n = " << r.n << ", d = " << r.d);
        return std::abs(heed::gradient_maximising_cosine_alpha(r.n, r.d) / r.alpha - 1);
    };
    for (const root& r : {root{55.1863093732354, 2, 430.97902887439203},
                          {3, 2, 1.53051152710494891},
                          {1e6, 2, 141471060526.254187},
                          {1.25, 3, 0.507051114018336678},
                          {430.4648797877581, 3, 215.232439893879047},
                          {32351.449654314623, 4, 948.104301689892826},
                          {1.01, 5, 0.129099453709933705},
                          {2, 8, 1.57487350190195474},
                          {40, 16, 7.50829958823595859},
                          {1024, 64, 19.7650709670681827},
                          {1e15, 64, 98.2266527072554154},
                          {512, 128, 24.2136428934211025},
                          {20000, 128, 33.6838248418283656},
                          {1.5, 500, 8.58862279848875148},
                          {9007199254740992, 4096, 370.348973962333914},
                          {7, 8192, 86.3415012001042523}})
        CHECK(error_of(r) < (r.alpha > 100 && r.alpha < 1000 ? 4e-12 : 1e-13));
    // Near one key the equation itself loses digits.
    for (const root& r : {root{1.001, 3, 0.0316245335299681087},
                          {1.00001, 64, 0.0146059167324356854},
                          {1.0000001, 1000, 0.00577350261395439455}})
        CHECK(error_of(r) < 4 * std::numeric_limits<double>::epsilon() / (r.n - 1));
}

TEST_CASE("the two ways to the moments of a cosine agree where they meet") {
    for (const double d : {2.0, 3.0, 64.0, 4096.0}) {
        INFO("d = " << d);
        const auto series = heed::detail::cosine_moment_by_series(1000, d);
        const auto debye = heed::detail::cosine_moment_by_debye(1000, d);
        CHECK(series.excess == Approx(debye.excess).epsilon(1e-13));
        CHECK(series.deficit == Approx(debye.deficit).epsilon(1e-11));
    }
    // The root exists far out too: in two dimensions it grows with the square of n.
    const double at_1e6 = heed::gradient_maximising_cosine_alpha(1e6, 2);
    CHECK(heed::gradient_maximising_cosine_alpha(1e9, 2) / at_1e6 == Approx(1e6).epsilon(1e-3));
}

TEST_CASE("learned constants gather the rows' products") {
    heed_test::generator random;
    const auto one = heed::scale(3);
    const auto each = heed::key_norm.scale(std::vector<float>{1, 2, 3, 4});
    auto gradient_of_one = one.make_gradient<double>(shape);
    auto gradient_of_each = each.make_gradient<double>(shape);
    double sum = 0;
    std::vector<double> sums(4);
    for (index head = 0; head < 4; ++head) {
        for (int row = 0; row < 5; ++row) {
            const double dot = random.normal();
            sum += dot;
            sums[static_cast<std::size_t>(head)] += dot;
            const heed::query_row place{.head = head, .query = row};
            one.add_row_gradient<double>(heed::detail::view_of(gradient_of_one), place, dot);
            each.add_row_gradient<double>(heed::detail::view_of(gradient_of_each), place, dot);
        }
    }
    CHECK(gradient_of_one(0) == Approx(sum));
    REQUIRE(gradient_of_each.size() == 4);
    for (index head = 0; head < 4; ++head)
        CHECK(gradient_of_each(head) == Approx(sums[static_cast<std::size_t>(head)]));
}

TEST_CASE("scales refuse what they cannot be") {
    CHECK_THROWS_AS(check_call(heed::scale(nan)), heed::argument_error);
    CHECK_THROWS_WITH(check_call(heed::scale(infinity)),
                      "heed::scale: the factor is inf, but must be finite");
    CHECK_THROWS_WITH(check_call(heed::scale(std::vector<double>{1, nan, 1, 1})),
                      "heed::scale: the factor of head 1 is nan, but must be finite");
    CHECK_THROWS_AS(check_call(heed::scale(std::vector<double>(3))), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::cosine.scale(std::vector<double>(3))),
                      "heed::scale has 3 factors, but there are 4 query heads");
    CHECK_THROWS_AS(heed::log_n_scale(1), heed::argument_error);
    CHECK_THROWS_WITH(heed::log_n_scale(0.5),
                      "heed::log_n_scale: the base is 0.5, but must be above 1 and finite");
    CHECK_THROWS_WITH(heed::log_n_scale(nan),
                      "heed::log_n_scale: the base is nan, but must be above 1 and finite");
    CHECK_THROWS_WITH(heed::log_n_scale_kappa(infinity),
                      "heed::log_n_scale_kappa: kappa is inf, but must be finite");
    CHECK_THROWS_WITH(
        heed::log_n_scale_after_training(-3),
        "heed::log_n_scale_after_training: the length is -3, but must be above 1 and finite");
    CHECK_THROWS_WITH(heed::key_norm.log_n(1),
                      "log_n: the base is 1, but must be above 1 and finite");
    CHECK_THROWS_AS(heed::gradient_maximising_alpha(0), heed::argument_error);
    CHECK_THROWS_WITH(heed::gradient_maximising_alpha(0.5),
                      "heed::gradient_maximising_alpha: n is 0.5, but must lie between 1 and 2^53");
    CHECK_THROWS_AS(heed::gradient_maximising_scale(nan), heed::argument_error);
    CHECK_THROWS_AS(heed::gradient_maximising_cosine_scale(infinity, 64), heed::argument_error);
    CHECK_THROWS_WITH(
        heed::gradient_maximising_cosine_alpha(10, 1),
        "heed::gradient_maximising_cosine_alpha: d is 1, but must lie between 2 and 2^24");
    CHECK_THROWS_AS(check_call(heed::gradient_maximising_cosine_scale(10, 64)), heed::shape_error);
    CHECK_THROWS_WITH(check_call(heed::gradient_maximising_cosine_scale(10, 64)),
                      "heed::gradient_maximising_cosine_scale: d is 64, but q and k have "
                      "dimension 48");
}

}  // namespace test_scales
