#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_softmax {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

/// Whether every p is as near to the reference as a handful of roundings allow: of x − maximum, of
/// its product with log₂e/τ, of the exponential, the sum and the quotient.
template <class T>
bool is_close(const row& p, const row& x, double tau, double sink) {
    const row expected = reference::softmax(x, tau, sink);
    const double maximum = reference::maximum(x, sink);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double bound = (8 + 2 * (maximum - x[i]) / tau) * unit<T> * expected[i] +
                             static_cast<double>(std::numeric_limits<T>::min());
        if (!(std::abs(p[i] - expected[i]) <= bound)) return false;
    }
    return true;
}

template <class T, class X, class P>
bool all_close(const P& p, const X& x, double tau, double sink = reference::minus_infinity) {
    const auto rows = rows_of(x);
    const auto results = rows_of(p);
    if (rows.size() != results.size()) return false;
    for (std::size_t r = 0; r < rows.size(); ++r)
        if (!is_close<T>(results[r], rows[r], tau, sink)) return false;
    return true;
}

TEMPLATE_TEST_CASE("softmax of the rows of anything is the reference's", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    for (int round = 0; round < 4; ++round) {
        const double tau = random.one_of({1.0, 0.25, 3.0});
        heed_test::for_each_object<TestType>(random, [&](const auto& x) {
            CHECK(all_close<TestType>(heed::softmax.temperature(tau)(x), x, tau));
            CHECK(all_close<TestType>(heed::softmax_plus_one.temperature(tau)(x), x, tau, 0));
        });
    }
}

TEMPLATE_TEST_CASE("dx of softmax is p (dp - p.dp) / tau", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    const double tau = 0.7;
    const auto f = heed::softmax.temperature(tau);
    heed_test::for_each_object<TestType>(random, [&](const auto& x) {
        const auto p = f(x);
        auto dp = p;
        for (auto i = dp.size(); i-- > 0;) dp.data()[i] = static_cast<TestType>(random.normal());
        const auto p_rows = rows_of(p), dp_rows = rows_of(dp),
                   dx_rows = rows_of(f.backward(x, p, dp));
        bool close = true;
        for (std::size_t r = 0; r < p_rows.size(); ++r) {
            const row expected = reference::softmax_backward(p_rows[r], dp_rows[r], tau);
            double absolute = 0;
            for (std::size_t i = 0; i < expected.size(); ++i)
                absolute += std::abs(p_rows[r][i] * dp_rows[r][i]);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double bound =
                    8 * unit<TestType> * p_rows[r][i] * (std::abs(dp_rows[r][i]) + absolute) / tau;
                close &= std::abs(dx_rows[r][i] - expected[i]) <= bound;
            }
        }
        CHECK(close);
    });
}

TEST_CASE("backward of softmax and of softmax-plus-one agree with central differences") {
    heed_test::generator random;
    const auto check = [&](const auto& f) {
        Eigen::MatrixXd x = random.matrix<double, Eigen::ColMajor>(5, 11);
        const Eigen::MatrixXd dp = random.matrix<double, Eigen::ColMajor>(5, 11);
        const Eigen::MatrixXd dx = f.backward(x, f(x), dp);
        const double h = 1e-5;
        double worst = 0;
        for (Eigen::Index i = 0; i < x.size(); ++i) {
            const double before = x.data()[i];
            x.data()[i] = before + h;
            const double above = f(x).cwiseProduct(dp).sum();
            x.data()[i] = before - h;
            const double below = f(x).cwiseProduct(dp).sum();
            x.data()[i] = before;
            worst = std::max(worst, std::abs((above - below) / (2 * h) - dx.data()[i]));
        }
        CHECK(worst <= 1e-7 * dx.cwiseAbs().maxCoeff());
    };
    check(heed::softmax);
    check(heed::softmax.temperature(0.6));
    check(heed::softmax_plus_one);
    check(heed::softmax_plus_one.temperature(1.7));
}

TEST_CASE("softmax in place is softmax") {
    heed_test::generator random;
    const Eigen::MatrixXf columns = random.matrix<float, Eigen::ColMajor>(70, 33);
    Eigen::MatrixXf y = columns;
    heed::softmax.into(y, y);
    CHECK(y == heed::softmax(columns));

    const auto rows = random.matrix<float>(13, 129);
    auto z = rows;
    heed::softmax.into(z, z);
    CHECK(z == heed::softmax(rows));
    heed::softmax.into(z.row(2), rows.row(2));
    CHECK(z == heed::softmax(rows));

    // Backward over each of its inputs.
    const Eigen::MatrixXf p = heed::softmax(columns), dp = columns;
    const Eigen::MatrixXf dx = heed::softmax.backward(columns, p, dp);
    Eigen::MatrixXf over = dp;
    heed::softmax.backward_into(over, columns, p, over);
    CHECK(over == dx);
    over = p;
    heed::softmax.backward_into(over, columns, over, dp);
    CHECK(over == dx);
    over = columns;
    heed::softmax.backward_into(over, over, p, dp);
    CHECK(over == dx);
}

TEST_CASE("results have the kind of the argument, and outputs may be of another") {
    heed_test::generator random;
    const Eigen::ArrayXXf array = random.matrix<float, Eigen::ColMajor>(4, 6).array();
    STATIC_REQUIRE(std::is_same_v<decltype(heed::softmax(array)), Eigen::ArrayXXf>);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::softmax(Eigen::Vector3d())), Eigen::Vector3d>);
    STATIC_REQUIRE(
        std::is_same_v<decltype(heed::softmax(array.matrix().row(0))), Eigen::RowVectorXf>);
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> other(4, 6);
    heed::softmax.into(other, array);
    CHECK(all_close<float>(other, array, 1));
    Eigen::Tensor<float, 2> tensor(4, 6);
    heed::softmax.into(tensor, array);
    CHECK(all_close<float>(tensor, array, 1));
}

TEMPLATE_TEST_CASE("probabilities sum to one and follow shifts and permutations", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const Eigen::Index n : {1, 2, 5, 16, 100, 1009}) {
        const auto x = random.matrix<T>(3, n);
        const auto p = heed::softmax(x);
        for (Eigen::Index r = 0; r < 3; ++r)
            CHECK(std::abs(p.row(r).template cast<double>().sum() - 1) <= 4 * unit<T>);
        // A power of two moves numbers without rounding if they keep their last bits.
        const Eigen::Matrix<T, 3, Eigen::Dynamic> coarse = (x.array() * T(64)).round() / T(64);
        CHECK((heed::softmax(coarse) == heed::softmax((coarse.array() + T(32)).matrix())));

        Eigen::PermutationMatrix<Eigen::Dynamic> permutation(n);
        permutation.setIdentity();
        std::shuffle(permutation.indices().data(), permutation.indices().data() + n,
                     random.engine());
        const auto moved = heed::softmax((x * permutation).eval());
        CHECK(((p * permutation) - moved).cwiseAbs().maxCoeff() <=
              4 * std::numeric_limits<T>::epsilon());
    }
}

TEMPLATE_TEST_CASE("softmax of a million columns", "", HEED_TEST_SCALARS) {
    using T = TestType;
    constexpr Eigen::Index n = 1'000'000;
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(3, n);
    for (Eigen::Index j = 0; j < n; ++j) {
        x(0, j) = static_cast<T>(5e-6 * static_cast<double>(j));  // rises all the time
        x(1, j) = j % 1024 == 0 ? T(0) : T(-1.234567);
        x(2, j) = j == 77 ? T(3) : T(-0.7);
    }
    CHECK(all_close<T>(heed::softmax(x), x, 1));
    const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> across = x;
    CHECK(all_close<T>(heed::softmax(across), x, 1));
    CHECK(all_close<T>(heed::softmax_plus_one(across), x, 1, 0));
}

}  // namespace test_softmax
