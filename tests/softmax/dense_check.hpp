#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "reference/dense.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/scalars.hpp"

/// \file
/// Normalisers of rows against the reference, for those that leave no element out.

namespace heed_test {

inline double largest(const reference::row& x) {
    double result = 0;
    for (const double element : x) result = std::max(result, std::abs(element));
    return result;
}

/// p and dx of an x, of any kind, are the reference's but for `slack` roundings of the size of the
/// numbers they are made of.
template <class T, class Normaliser, class X>
void check_dense(generator& random, const Normaliser& f, const reference::dense_normaliser& exact,
                 const X& x, double slack = 32) {
    const auto p = f(x);
    auto dp = p;
    for (auto i = dp.size(); i-- > 0;) dp.data()[i] = static_cast<T>(random.normal());
    const auto x_rows = rows_of(x), p_rows = rows_of(p), dp_rows = rows_of(dp),
               dx_rows = rows_of(f.backward(x, p, dp));
    double worst = 0;
    for (std::size_t r = 0; r < x_rows.size(); ++r) {
        const reference::row expected = exact.forward(x_rows[r]);
        const reference::row expected_dx = exact.backward(x_rows[r], dp_rows[r]);
        const double bound = slack * unit<T> * exact.size(x_rows[r]);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double error = std::abs(p_rows[r][i] - expected[i]);
            const double dx_error = std::abs(dx_rows[r][i] - expected_dx[i]) / largest(dp_rows[r]);
            if (!(std::max(error, dx_error) <= worst * bound))
                worst = std::max(error, dx_error) / bound;
        }
    }
    CHECK(worst <= 1);
}

/// The same for rows in every layout: side by side, across, neither, and a vector.
template <class T, class Normaliser>
void check_dense_layouts(const Normaliser& f, const reference::dense_normaliser& exact,
                         double slack = 32) {
    generator random;
    for (const Eigen::Index n : {1, 2, 7, 33, 131}) {
        check_dense<T>(random, f, exact, random.matrix<T>(5, n), slack);
        check_dense<T>(random, f, exact, random.matrix<T, Eigen::ColMajor>(37, n), slack);
    }
    const auto large = random.matrix<T, Eigen::ColMajor>(40, 50);
    check_dense<T>(random, f, exact, large.row(3), slack);
    check_dense<T>(random, f, exact, random.tensor<T>(2, 3, 1100), slack);
}

/// dx is the slope of Σp·dp.
template <class Normaliser>
void check_dense_differences(const Normaliser& f) {
    if constexpr (is_tested<double>) {
        generator random;
        auto x = random.matrix<double>(4, 23);
        const auto dp = random.matrix<double>(4, 23);
        const Eigen::MatrixXd dx = f.backward(x, f(x), dp);
        const double h = 1e-5;
        double worst = 0;
        for (Eigen::Index r = 0; r < x.rows(); ++r) {
            for (Eigen::Index c = 0; c < x.cols(); ++c) {
                const double before = x(r, c);
                x(r, c) = before + h;
                const double above = f(x).cwiseProduct(dp).sum();
                x(r, c) = before - h;
                const double below = f(x).cwiseProduct(dp).sum();
                x(r, c) = before;
                worst = std::max(worst, std::abs((above - below) / (2 * h) - dx(r, c)));
            }
        }
        CHECK(worst <= 1e-7 * dx.cwiseAbs().maxCoeff());
    }
}

/// Rows of 0: nothing seen, 1: a NaN, 2: one element left out, 3: like 2 without that element, 4:
/// all equal, 5: ±10⁴; and what must be true of each.
template <class T, class Normaliser>
void check_dense_extremes(const Normaliser& f) {
    const T infinity = std::numeric_limits<T>::infinity();
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(6, 21);
    generator random;
    random.fill_normal(x);
    x.row(0).setConstant(-infinity);
    x(1, 3) = std::numeric_limits<T>::quiet_NaN();
    x(2, 20) = -infinity;
    x.row(3) = x.row(2);
    x.row(4).setConstant(T(0.75));
    x.row(5).setConstant(T(-1e4));
    x(5, 7) = T(1e4);
    Eigen::MatrixXd kept = x.template cast<double>();
    const auto check = [&](const auto& p) {
        for (Eigen::Index j = 0; j < 21; ++j) {
            CHECK(p(0, j) == 0);
            CHECK(p(4, j) == p(4, 0));
            CHECK(std::isfinite(p(5, j)));
            CHECK(std::isfinite(p(2, j)));
        }
        CHECK(std::isnan(p(1, 3)));
        CHECK(p(2, 20) == 0);
        CHECK(p(5, 7) >= p(5, 0));
    };
    const auto p = f(x);
    check(p);
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> columns = x;
    check(f(columns));
    // Gradients: none where nothing is seen, NaN in its own row only.
    const auto dx = f.backward(x, p, x.cwiseMax(T(-3)).cwiseMin(T(3)).eval());
    for (Eigen::Index j = 0; j < 21; ++j) {
        CHECK(dx(0, j) == 0);
        CHECK(std::isfinite(dx(2, j)));
        CHECK(std::isfinite(dx(5, j)));
    }
    CHECK(dx(2, 20) == 0);
    CHECK(f(x.topLeftCorner(0, 0)).size() == 0);
    CHECK(f(x.topLeftCorner(3, 0)).rows() == 3);
}

}  // namespace heed_test
