#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <heed/measure/softmax_gradient_size.hpp>
#include <heed/measure/sparsity.hpp>
#include <heed/softmax/softmax.hpp>

#include "reference/measures.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sparsity {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::row;

template <class T, class Measure, class One>
void check_measure(const Measure& measure, const One& one, double spread = 1) {
    heed_test::generator random;
    for (const Eigen::Index n : {2, 33, 300}) {
        Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x(21, n);
        random.fill_normal(x, spread);
        x(3, 0) = 0;
        const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> across = x;
        const row along = numbers_of(measure(x)), found = numbers_of(measure(across));
        const auto rows = rows_of(x);
        bool close = true;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const double expected = one(rows[r]), bound = 64 * unit<T> * (1 + std::abs(expected));
            close &= std::abs(along[r] - expected) <= bound;
            close &= std::abs(found[r] - expected) <= bound;
        }
        CHECK(close);
    }
}

TEMPLATE_TEST_CASE("measures of sparsity are the reference's", "", HEED_TEST_SCALARS) {
    // Squares of 1e18 are beyond float once they are summed; the others are near both ends.
    const bool is_float = std::is_same_v<TestType, float>;
    for (const double spread : {1.0, 1e18, is_float ? 1e37 : 1e306, is_float ? 1e-23 : 1e-170,
                                is_float ? 1e-36 : 1e-305}) {
        check_measure<TestType>(
            heed::measure::sparsity, [](const row& x) { return reference::sparsity(x, 1, 2); },
            spread);
        check_measure<TestType>(
            heed::measure::sparsity.orders(0.5, 3),
            [](const row& x) { return reference::sparsity(x, 0.5, 3); }, spread);
        // Roots of small orders: n^{1/p − 1/q} alone would be beyond the scalar.
        for (const auto& [q, p] : {std::pair(0.02, 0.03), {1e-3, 1.0}, {0.2, 0.21}, {1.0, 40.0}})
            check_measure<TestType>(
                heed::measure::sparsity.orders(q, p),
                [q = q, p = p](const row& x) { return reference::sparsity(x, q, p); }, spread);
        check_measure<TestType>(heed::measure::mean_over_max, reference::mean_over_max, spread);
        check_measure<TestType>(heed::measure::hoyer, reference::hoyer, spread);
        check_measure<TestType>(heed::measure::gini, reference::gini, spread);
    }
    check_measure<TestType>(heed::measure::fraction_below(0.5), [](const row& x) {
        return reference::fraction_below(x, static_cast<double>(TestType(0.5)));
    });
    check_measure<TestType>(heed::measure::fraction_below(0),
                            [](const row& x) { return reference::fraction_below(x, 0); });
}

TEMPLATE_TEST_CASE("measures of sparsity of equal numbers are exact, however many and large", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    for (const Eigen::Index n : {2, 1000, 2000000}) {
        const T tenth = T(0.1);
        for (const T value : {tenth, tenth * limits::max(), limits::min(), limits::denorm_min()}) {
            Eigen::Matrix<T, 1, Eigen::Dynamic> x(n);
            x.setConstant(value);
            x(n / 2) = -value;
            CHECK(heed::measure::gini(x) == 0);
            if (n > 1000) continue;
            CHECK(heed::measure::mean_over_max(x) == 1);
            CHECK(heed::measure::sparsity(x) == Approx(1));
            CHECK(heed::measure::sparsity.orders(1e-30, 1e30)(x) == 1);
            CHECK(std::abs(heed::measure::hoyer(x)) <= 64 * limits::epsilon());
        }
    }
    // Nearly equal ones: what is left is right to its own digits.
    Eigen::Matrix<T, 1, Eigen::Dynamic> x = Eigen::Matrix<T, 1, Eigen::Dynamic>::Ones(1000);
    x(3) = 1 + limits::epsilon();
    const double expected = double(limits::epsilon()) * 999 / 1000 / 1000;
    CHECK(static_cast<double>(heed::measure::gini(x)) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("measures of sparsity of even, one-hot, empty and broken rows") {
    Eigen::MatrixXd x(4, 9);
    x.setZero();
    x.row(0).setConstant(-3);
    x(1, 4) = -7;
    x(3, 5) = std::numeric_limits<double>::quiet_NaN();
    const auto check = [&](const auto& measure, double even, double one_hot) {
        const Eigen::VectorXd found = measure(x);
        CHECK(found(0) == Approx(even).margin(1e-14));
        CHECK(found(1) == Approx(one_hot).margin(1e-14));
        CHECK(std::isnan(found(2)));
        CHECK(std::isnan(found(3)));
    };
    check(heed::measure::sparsity, 1, 1.0 / 3);
    check(heed::measure::sparsity.orders(0.5, 1), 1, 1.0 / 9);
    check(heed::measure::mean_over_max, 1, 1.0 / 9);
    check(heed::measure::hoyer, 0, 1);
    check(heed::measure::gini, 0, 8.0 / 9);
    const Eigen::VectorXd below = heed::measure::fraction_below(3)(x);
    CHECK((below(0) == 1 && below(1) == Approx(8.0 / 9) && below(2) == 1));
    CHECK(below(3) == Approx(8.0 / 9));
    CHECK(heed::measure::gini(Eigen::MatrixXf(0, 3)).size() == 0);
}

TEMPLATE_TEST_CASE("softmax's gradient is as large as the sum of its Jacobian", "",
                   HEED_TEST_SCALARS) {
    heed_test::generator random;
    const auto x = random.matrix<TestType>(5, 23);
    const auto p = heed::softmax(x);
    const row sizes = numbers_of(heed::measure::softmax_gradient_size(p));
    const row scaled = numbers_of(heed::measure::softmax_gradient_size.scale(-2.5)(p));
    const auto rows = rows_of(p);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const double expected = reference::softmax_gradient_size(rows[r]);
        CHECK(std::abs(sizes[r] - expected) <= 8 * unit<TestType>);
        CHECK(std::abs(scaled[r] + 2.5 * expected) <= 20 * unit<TestType>);
    }
    Eigen::Matrix<TestType, 1, 3> sure(0, 1, 0);
    CHECK(heed::measure::softmax_gradient_size(sure) == 0);
}

TEST_CASE("measures of sparsity refuse parameters out of range") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_WITH(heed::measure::sparsity.orders(2, 1), Contains("q is 2"));
    CHECK_THROWS_AS(heed::measure::sparsity.orders(0, 1), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::sparsity.orders(1, INFINITY), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::fraction_below(-1), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::fraction_below(NAN), heed::argument_error);
    CHECK_THROWS_AS(heed::measure::softmax_gradient_size.scale(NAN), heed::argument_error);
}

}  // namespace test_sparsity
