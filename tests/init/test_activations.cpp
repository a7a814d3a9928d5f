#include <cmath>
#include <cstddef>
#include <limits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/init/activations/erf.hpp>
#include <heed/init/activations/gelu.hpp>
#include <heed/init/activations/gelu_tanh.hpp>
#include <heed/init/activations/silu.hpp>
#include <heed/init/activations/softplus.hpp>
#include <heed/init/activations/swiglu.hpp>

#include "reference/activations.hpp"
#include "rows/row_objects.hpp"
#include "support/allocations.hpp"
#include "support/binades.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/threads.hpp"

namespace test_activations {

using heed_test::at;
using heed_test::largest_error;
using heed_test::largest_error_within;
using heed_test::limits;
using heed_test::rows_of;
using heed_test::sized;

// What each is: its value, its slope, and the size of the slope's terms.
struct erf {
    static constexpr auto f = heed::erf;
    static constexpr double bound = 2, slope_bound = 3;
    template <class Real>
    static Real value(Real x) {
        return reference::erf(x);
    }
    template <class Real>
    static sized<Real> slope(Real x) {
        return {reference::erf_slope(x), reference::erf_slope(x)};
    }
};
struct gelu {
    static constexpr auto f = heed::gelu;
    static constexpr double bound = 6, slope_bound = 6;
    template <class Real>
    static Real value(Real x) {
        return reference::gelu(x);
    }
    template <class Real>
    static sized<Real> slope(Real x) {
        return {reference::gelu_slope(x),
                reference::normal_share(x) + std::abs(x) * reference::normal_density(x)};
    }
};
struct gelu_tanh {
    static constexpr auto f = heed::gelu_tanh;
    static constexpr double bound = 6, slope_bound = 6;
    /// What u loses to rounding, e^{2u} loses 2|u| times.
    template <class Real>
    static Real condition(Real x) {
        return x < 0 ? 1 + std::abs(reference::gelu_tanh_argument(x)) / 2 : Real(1);
    }
    template <class Real>
    static sized<Real> value(Real x) {
        const Real y = reference::gelu_tanh(x);
        return {y, y == 0 ? y : y * condition(x)};
    }
    template <class Real>
    static sized<Real> slope(Real x) {
        const Real share = reference::logistic(reference::gelu_tanh_argument(x));
        const Real slope = reference::gelu_tanh_slope(x);
        return {slope, share == 0 ? share : (2 * share + std::abs(slope)) * condition(x)};
    }
};
struct silu {
    static constexpr auto f = heed::silu;
    static constexpr double bound = 4, slope_bound = 4;
    template <class Real>
    static Real value(Real x) {
        return reference::silu(x);
    }
    template <class Real>
    static sized<Real> slope(Real x) {
        return {reference::silu_slope(x),
                reference::logistic(x) * (1 + std::abs(x) * reference::logistic(-x))};
    }
};
struct softplus {
    static constexpr auto f = heed::softplus;
    static constexpr double bound = 4, slope_bound = 4;
    template <class Real>
    static Real value(Real x) {
        return reference::softplus(x);
    }
    template <class Real>
    static sized<Real> slope(Real x) {
        return {reference::softplus_slope(x), reference::softplus_slope(x)};
    }
};

template <class What>
const auto values = [](auto x) { return What::f(x); };
template <class What>
const auto slopes = [](auto x) { return What::f.derivative(x); };
template <class What>
const auto exact_values = [](auto x) { return What::value(x); };
template <class What>
const auto exact_slopes = [](auto x) { return What::slope(x); };

template <class What, class T>
void check_accuracy() {
    constexpr int samples = sizeof(T) == sizeof(float) ? 1 << 10 : 1 << 6;
    REQUIRE_WITHIN(largest_error<T>(values<What>, exact_values<What>, samples), What::bound);
    REQUIRE_WITHIN(largest_error<T>(slopes<What>, exact_slopes<What>, samples), What::slope_bound);
    const T far = sizeof(T) == sizeof(float) ? T(16) : T(40);
    for (const T end : {T(1.5), far, far * far / 2}) {
        REQUIRE_WITHIN(
            largest_error_within<T>(values<What>, exact_values<What>, -end, end, 1 << 16),
            What::bound);
        REQUIRE_WITHIN(
            largest_error_within<T>(slopes<What>, exact_slopes<What>, -end, end, 1 << 16),
            What::slope_bound);
    }
}

TEMPLATE_TEST_CASE("activations and their slopes are accurate in every binade", "",
                   HEED_TEST_SCALARS) {
    check_accuracy<erf, TestType>();
    check_accuracy<gelu, TestType>();
    check_accuracy<gelu_tanh, TestType>();
    check_accuracy<silu, TestType>();
    check_accuracy<softplus, TestType>();
}

/// f(−∞), f(∞), f(0), and the slopes there.
template <class T, class F>
void check_limits(const F& f, T below, T above, T middle, T slope_below, T slope_above,
                  T slope_middle) {
    constexpr T infinity = limits<T>::infinity();
    const auto slope = [&](auto x) { return f.derivative(x); };
    CHECK(at(f, -infinity) == below);
    CHECK(at(f, infinity) == above);
    CHECK(at(f, limits<T>::lowest()) == below);
    CHECK(at(f, T(0)) == Approx(middle).epsilon(4 * heed_test::unit<T>));
    CHECK(at(slope, -infinity) == slope_below);
    CHECK(at(slope, infinity) == slope_above);
    CHECK(at(slope, limits<T>::lowest()) == slope_below);
    CHECK(at(slope, limits<T>::max()) == slope_above);
    CHECK(at(slope, T(0)) == Approx(slope_middle).epsilon(4 * heed_test::unit<T>));
    CHECK(std::isnan(at(f, limits<T>::quiet_NaN())));
    CHECK(std::isnan(at(f, -limits<T>::quiet_NaN())));
    CHECK(std::isnan(at(slope, limits<T>::quiet_NaN())));
    if (middle == 0) {  // an odd factor x: signs of zero stay
        CHECK(!std::signbit(at(f, T(0))));
        CHECK(std::signbit(at(f, T(-0.0))));
        CHECK(at(f, T(-0.0)) == 0);
    }
}

TEMPLATE_TEST_CASE("activations of zeros, infinities and NaN", "", HEED_TEST_SCALARS) {
    using T = TestType;
    constexpr T infinity = limits<T>::infinity(), two_over_root_pi = T(1.12837916709551257390);
    check_limits<T>(heed::erf, -1, 1, 0, 0, 0, two_over_root_pi);
    check_limits<T>(heed::gelu, 0, infinity, 0, 0, 1, T(0.5));
    check_limits<T>(heed::gelu_tanh, 0, infinity, 0, 0, 1, T(0.5));
    check_limits<T>(heed::silu, 0, infinity, 0, 0, 1, T(0.5));
    check_limits<T>(heed::softplus, 0, infinity, std::log(T(2)), 0, 1, T(0.5));
    CHECK(at([](auto x) { return heed::softplus(x); }, limits<T>::max()) == limits<T>::max());
}

TEMPLATE_TEST_CASE("activations of anything are those of its elements, backward too", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto slope = [](auto x) { return heed::silu.derivative(x); };
    heed_test::for_each_object<T>(random, [&](const auto& x) {
        const auto y = heed::silu(x);
        auto dy = y;
        for (auto i = dy.size(); i-- > 0;) dy.data()[i] = static_cast<T>(random.normal());
        const auto x_rows = rows_of(x), y_rows = rows_of(y), dy_rows = rows_of(dy),
                   dx_rows = rows_of(heed::silu.backward(x, dy));
        REQUIRE((x_rows.size() == y_rows.size() && x_rows.size() == dx_rows.size()));
        bool equal = true;
        for (std::size_t r = 0; r < x_rows.size(); ++r) {
            REQUIRE(
                (y_rows[r].size() == x_rows[r].size() && dx_rows[r].size() == x_rows[r].size()));
            for (std::size_t i = 0; i < x_rows[r].size(); ++i) {
                const auto element = static_cast<T>(x_rows[r][i]);
                equal &= y_rows[r][i] == static_cast<double>(at(heed::silu, element));
                equal &= dx_rows[r][i] ==
                         static_cast<double>(static_cast<T>(dy_rows[r][i]) * at(slope, element));
            }
        }
        CHECK(equal);
    });
}

/// dx is the slope of Σ f(x)·dy.
template <class F>
void check_differences(const F& f) {
    heed_test::generator random;
    const Eigen::ArrayXXd x = 2 * random.matrix<double>(7, 11).array();
    const Eigen::ArrayXXd dy = random.matrix<double>(7, 11), dx = f.backward(x, dy);
    const double h = 1e-5;
    const Eigen::ArrayXXd above = f((x + h).eval()), below = f((x - h).eval());
    CHECK(((above - below) * dy / (2 * h) - dx).abs().maxCoeff() <= 1e-7 * dx.abs().maxCoeff());
}

TEST_CASE("gradients of activations agree with central differences") {
    check_differences(heed::erf);
    check_differences(heed::gelu);
    check_differences(heed::gelu_tanh);
    check_differences(heed::silu);
    check_differences(heed::softplus);
}

TEMPLATE_TEST_CASE("swiglu is silu of one times the other, and its gradients are the reference's",
                   "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const Eigen::Index n = 33;
    const auto a = random.matrix<T>(5, n), b = random.matrix<T>(5, n), dy = random.matrix<T>(5, n);
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> both(5, 2 * n);
    both << a, b;
    const auto y = heed::swiglu(a, b);
    CHECK(heed::swiglu(both.leftCols(n), both.rightCols(n)) == y);
    const auto [da, db] = heed::swiglu.backward(a, b, dy);
    double error = 0;
    for (Eigen::Index i = 0; i < a.size(); ++i) {
        const auto of_a = static_cast<double>(a.data()[i]), of_b = static_cast<double>(b.data()[i]),
                   of_y = static_cast<double>(dy.data()[i]);
        const auto differs = [&](T found, double expected, double size) {
            error = std::max(error, std::abs(static_cast<double>(found) - expected) / size);
        };
        differs(y.data()[i], reference::silu(of_a) * of_b, std::abs(of_a * of_b));
        differs(da.data()[i], of_y * of_b * reference::silu_slope(of_a), std::abs(of_y * of_b));
        differs(db.data()[i], of_y * reference::silu(of_a), std::abs(of_y * of_a));
    }
    CHECK(error <= 4 * heed_test::unit<T>);
}

TEST_CASE("activations in place, on threads, without allocating") {
    heed_test::generator random;
    const auto x = random.tensor<float>(3, 40, 300), dy = random.tensor<float>(3, 40, 300);
    const auto dx = heed::gelu.backward(x, dy);
    Eigen::ThreadPool pool(3);
    heed_test::await_threads(pool);
    CHECK(rows_of(heed::gelu.backward(x, dy, heed::on(pool))) == rows_of(dx));
    auto y = x;
    heed::gelu.into(y, y);
    CHECK(rows_of(y) == rows_of(heed::gelu(x)));
    auto over = dy;
    const auto before = heed_test::allocations();
    heed::gelu.backward_into(over, x, over);
    CHECK(heed_test::allocations() == before);
    CHECK(rows_of(over) == rows_of(dx));

    const auto [da, db] = heed::swiglu.backward(x, y, dy);
    auto over_x = x, over_y = y;
    heed::swiglu.backward_into(over_x, over_y, over_x, over_y, dy);
    CHECK(rows_of(over_x) == rows_of(da));
    CHECK(rows_of(over_y) == rows_of(db));
    over_x = x;
    heed::swiglu.into(over_x, over_x, y);
    CHECK(rows_of(over_x) == rows_of(heed::swiglu(x, y)));
    CHECK(heed::silu(Eigen::MatrixXf(0, 3)).cols() == 3);
    CHECK(heed::silu(Eigen::MatrixXf(3, 0)).rows() == 3);
}

TEST_CASE("activations refuse what does not fit") {
    using Catch::Matchers::Contains;
    Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 6), other = Eigen::MatrixXf::Ones(4, 5), y = other;
    CHECK_THROWS_AS(heed::gelu.into(y, x), heed::shape_error);
    CHECK_THROWS_AS(heed::gelu.backward(x, other), heed::shape_error);
    CHECK_THROWS_WITH(heed::gelu.backward(x, other), Contains("dy") && Contains("5"));
    CHECK_THROWS_WITH(heed::swiglu(x, other), Contains("b") && Contains("5"));
    CHECK_THROWS_AS(heed::gelu.into(x.leftCols(3), x.middleCols(1, 3)), heed::argument_error);
    CHECK_THROWS_AS(heed::swiglu.backward_into(y, y, other, other, other), heed::argument_error);
    CHECK(y == other);
    CHECK(x == Eigen::MatrixXf::Ones(4, 6));
}

}  // namespace test_activations
