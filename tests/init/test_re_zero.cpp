#include <cmath>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/init/re_zero.hpp>

#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using heed_test::rows_of;
using heed_test::unit;

TEMPLATE_TEST_CASE("re_zero is x + alpha f, forward and backward", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const double alpha = 0.3;
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        const auto f = heed::re_zero(alpha)(x, x);  // 1.3 x
        const auto y = heed::re_zero(alpha)(x, f);
        const auto [df, d_alpha] = heed::re_zero(alpha).backward(f, y);
        const auto rows = rows_of(x), f_rows = rows_of(f), y_rows = rows_of(y),
                   df_rows = rows_of(df);
        bool close = rows.size() == y_rows.size();
        long double sum = 0, size = 1;  // more exact than what is tested
        for (std::size_t r = 0; r < rows.size(); ++r) {
            for (std::size_t i = 0; i < rows[r].size(); ++i) {
                const double scale = 4 * unit<TestType> * (1 + std::abs(rows[r][i]));
                close &= std::abs(y_rows[r][i] - (rows[r][i] + alpha * f_rows[r][i])) <= scale;
                close &= std::abs(df_rows[r][i] - alpha * y_rows[r][i]) <= scale;
                sum += static_cast<long double>(y_rows[r][i]) * f_rows[r][i];
                size += std::abs(y_rows[r][i] * f_rows[r][i]);
            }
        }
        CHECK(close);
        CHECK(std::abs(static_cast<long double>(d_alpha) - sum) <= 8 * unit<TestType> * size);
    });
}

TEST_CASE("re_zero begins shut, works in place and on threads, and refuses what does not fit") {
    heed_test::generator random;
    auto x = random.matrix<float>(300, 400);
    const auto f = random.matrix<float>(300, 400), before = x;
    CHECK(heed::re_zero(0)(x, f) == x);
    Eigen::ThreadPool pool(2);
    const auto [df, d_alpha] = heed::re_zero(0.5).backward(f, x);
    CHECK(heed::re_zero(0.5).backward(f, x, heed::on(pool)).alpha == d_alpha);
    CHECK(df == 0.5f * x);
    heed::re_zero(0.5).into(x, x, f);
    CHECK(x == heed::re_zero(0.5)(before, f));
    auto over = f;
    CHECK(heed::re_zero(0.5).backward_into(over, over, before) == d_alpha);
    CHECK(over == df);
    CHECK_THROWS_AS(heed::re_zero(NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::re_zero(1)(x, Eigen::MatrixXf(3, 3)), heed::shape_error);
    CHECK_THROWS_AS(heed::re_zero(1).into(x.topRows(20), x.middleRows(1, 20), x.topRows(20)),
                    heed::argument_error);
    CHECK(heed::re_zero(1)(Eigen::MatrixXf(0, 3), Eigen::MatrixXf(0, 3)).size() == 0);
    const auto bad = heed::view(f.data(), {2, -1});
    CHECK_THROWS_WITH(heed::re_zero(1)(bad, f),
                      "x has shape [2, -1], but extents must not be negative");
    CHECK_THROWS_WITH(heed::re_zero(1)(f, bad),
                      "f has shape [2, -1], but extents must not be negative");
    CHECK_THROWS_WITH(heed::re_zero(1).backward(f, bad),
                      "dy has shape [2, -1], but extents must not be negative");
}
