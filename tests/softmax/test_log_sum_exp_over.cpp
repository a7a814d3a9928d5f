#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/softmax/log_sum_exp_over.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/refused.hpp"

namespace test_log_sum_exp_over {

using heed::index;  // inside a namespace: <strings.h> has a global one
using heed_test::numbers_of;
using heed_test::unit;
using reference::row;

template <class T, int Order>
using tensor3 = Eigen::Tensor<T, 3, Order>;

/// The numbers of a tensor, its axes in this order.
template <class X>
std::vector<double> in_order(const X& x, const std::array<int, 3>& axes) {
    const X ordered = x.shuffle(axes);
    return numbers_of(ordered);
}

/// z and dx over the last `joined` of these axes are the reference's.
template <class T, int Order, class Over>
void check(heed_test::generator& random, const Over& over, const std::array<int, 3>& axes,
           std::size_t joined) {
    const double tau = 0.7;
    const auto f = over.temperature(tau);
    tensor3<T, Order> x(4, 5, 6);
    random.fill_normal(x, 3);
    const auto z = f(x);
    auto dz = z;
    random.fill_normal(dz);
    const auto dx = f.backward(x, z, dz);
    auto in_place = x;
    f.backward_into(in_place, in_place, z, dz);
    CHECK(in_order(in_place, axes) == in_order(dx, axes));

    std::size_t length = 1;
    for (std::size_t axis = 3; axis > 3 - joined; --axis)
        length *= static_cast<std::size_t>(x.dimension(static_cast<std::size_t>(axes[axis - 1])));
    const auto all = in_order(x, axes), gradients = in_order(dx, axes);
    const auto results = numbers_of(z), of_results = numbers_of(dz);
    REQUIRE(results.size() * length == all.size());
    bool close = true;
    for (std::size_t r = 0; r < results.size(); ++r) {
        const auto first = static_cast<std::ptrdiff_t>(r * length);
        const row numbers(all.begin() + first,
                          all.begin() + first + static_cast<std::ptrdiff_t>(length));
        const double largest = std::abs(reference::maximum(numbers));
        close &= std::abs(results[r] - reference::log_sum_exp(numbers, tau)) <=
                 (8 * tau + 2 * largest) * unit<T>;
        const row p = reference::softmax(numbers, tau);
        for (std::size_t i = 0; i < length; ++i)
            close &= std::abs(gradients[r * length + i] - p[i] * of_results[r]) <=
                     100 * unit<T> * p[i] * std::abs(of_results[r]);
    }
    CHECK(close);
}

TEMPLATE_TEST_CASE("log_sum_exp over any axes of a tensor is the reference's", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    const auto both_orders = [&](const auto& over, const std::array<int, 3>& axes,
                                 std::size_t joined) {
        check<T, Eigen::RowMajor>(random, over, axes, joined);
        check<T, Eigen::ColMajor>(random, over, axes, joined);
    };
    both_orders(heed::log_sum_exp_over(1), {0, 2, 1}, 1);
    both_orders(heed::log_sum_exp_over(1, 2), {0, 1, 2}, 2);
    both_orders(heed::log_sum_exp_over(2, 0), {1, 0, 2}, 2);
    both_orders(heed::log_sum_exp_over(0, 1, 2), {0, 1, 2}, 3);
}

TEST_CASE("backward of log_sum_exp over axes agrees with central differences") {
    heed_test::generator random;
    const auto f = heed::log_sum_exp_over(0, 2);
    tensor3<double, Eigen::RowMajor> x(3, 4, 5);
    random.fill_normal(x);
    Eigen::Tensor<double, 1, Eigen::RowMajor> dz(4);
    random.fill_normal(dz);
    const auto dx = f.backward(x, f(x), dz);
    double worst = 0, largest = 0;
    const double h = 1e-5;
    const auto loss = [&] {
        const Eigen::Tensor<double, 1, Eigen::RowMajor> z = f(x);
        double sum = 0;
        for (index i = 0; i < 4; ++i) sum += z(i) * dz(i);
        return sum;
    };
    for (index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + h;
        const double above = loss();
        x.data()[i] = before - h;
        const double below = loss();
        x.data()[i] = before;
        worst = std::max(worst, std::abs((above - below) / (2 * h) - dx.data()[i]));
        largest = std::max(largest, std::abs(dx.data()[i]));
    }
    CHECK(worst <= 1e-7 * largest);
}

TEST_CASE("log_sum_exp over axes of nothing, of one element, and of scores of 1e4") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const tensor3<float, Eigen::RowMajor> none(2, 0, 3), empty(0, 4, 3);
    const Eigen::Tensor<float, 1, Eigen::RowMajor> z = heed::log_sum_exp_over(1, 2)(none);
    CHECK((z(0) == -infinity && z(1) == -infinity));
    CHECK(heed::log_sum_exp_over(1, 2)(empty).size() == 0);
    tensor3<float, Eigen::RowMajor> one(1, 1, 1);
    one.setConstant(3);
    CHECK(heed::log_sum_exp_over(0, 2)(one)(0) == 3);
    tensor3<float, Eigen::RowMajor> large(2, 2, 2);
    large.setConstant(1e4F);
    CHECK(heed::log_sum_exp_over(0, 1, 2)(large)() == Approx(1e4 + std::log(8.0)));
}

TEST_CASE("log_sum_exp over axes refuses what does not fit") {
    tensor3<float, Eigen::RowMajor> x(2, 3, 4);
    x.setZero();
    heed_test::check_refused<heed::argument_error>(
        "heed::log_sum_exp_over: axis 3 is given, but must lie between 0 and 2",
        [&] { heed::log_sum_exp_over(1, 3)(x); });
    CHECK_THROWS_AS(heed::log_sum_exp_over(-1)(x), heed::argument_error);
    heed_test::check_refused<heed::argument_error>("heed::log_sum_exp_over: axis 1 is given twice",
                                                   [&] { heed::log_sum_exp_over(1, 1)(x); });
    Eigen::Tensor<float, 1, Eigen::RowMajor> two(2), three(3);
    two.setConstant(42);
    heed_test::check_refused<heed::shape_error>(
        "z has shape [2], but must have [3], the axes that are not summed over",
        [&] { heed::log_sum_exp_over(0, 2).into(two, x); });
    CHECK(two(0) == 42);
    heed_test::check_refused<heed::shape_error>(
        "dz has shape [2], but must have [3], the axes that are not summed over",
        [&] { heed::log_sum_exp_over(0, 2).backward(x, three, two); });
    CHECK_THROWS_AS(heed::log_sum_exp_over(0, 2).into(heed::view(x.data(), {3}), x),
                    heed::argument_error);
    CHECK_THROWS_AS(heed::log_sum_exp_over(0).temperature(0), heed::argument_error);
}

}  // namespace test_log_sum_exp_over
