#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <heed/core/view.hpp>
#include <heed/softmax/losses/am_softmax.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/gamma_cross_entropy.hpp>
#include <heed/softmax/losses/stop_gradient_loss.hpp>

#include "reference/certain_losses.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

// Losses where the label is all but certain, and of logits of every size.

namespace test_certain_losses {

using heed_test::numbers_of;
using heed_test::rows_of;
using heed_test::unit;
using reference::certain_row;
using reference::row;

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using column_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// What a loss and its gradient ought to be.
struct exact {
    long double value;
    row gradient;
};

/// |found − right| ≤ units·|right|, as far as T has normal numbers.
template <class T>
bool is_relative(double found, double right, double units) {
    const auto least = static_cast<double>(std::numeric_limits<T>::min());
    return found == right || std::abs(found - right) <= units * unit<T> * std::abs(right) + least;
}

/// f(x, loss and gradient a row) for rows side by side, across, and neither.
template <class T, class Loss, class F>
void for_each_layout(const row_major<T>& x, const std::vector<int>& labels, const Loss& loss,
                     F&& f) {
    const auto check = [&](const auto& rows) {
        const auto [value, dx] = loss.per_row().with_gradient(rows, labels);
        f(numbers_of(value), rows_of(dx));
        CHECK(numbers_of(loss.per_row()(rows, labels)) == numbers_of(value));
    };
    check(x);
    check(column_major<T>(x));
    row_major<T> apart = row_major<T>::Zero(x.rows(), 2 * x.cols());
    for (Eigen::Index j = 0; j < x.cols(); ++j) apart.col(2 * j) = x.col(j);
    row_major<T> dx(x.rows(), x.cols());
    Eigen::Matrix<T, Eigen::Dynamic, 1> value(x.rows());
    loss.per_row().gradient_into(
        value, dx, heed::view(apart.data(), {x.rows(), x.cols()}, {apart.cols(), heed::index{2}}),
        labels);
    f(numbers_of(value), rows_of(dx));
}

/// Holds a loss to right(row, label), each number relative to itself.
template <class T, class Loss, class Right>
void check_certain(const Loss& loss, const Right& right, double tau = 1) {
    heed_test::generator random;
    for (const Eigen::Index n : {2, 5, 37, 1003, 2600}) {
        row_major<T> x(11, n);
        random.fill_normal(x);
        std::vector<int> labels(11);
        for (std::size_t r = 0; r < labels.size(); ++r) {
            labels[r] = static_cast<int>(random.integer(0, n - 1));
            const auto i = static_cast<Eigen::Index>(r);
            // From a label that is hardly more likely than the others to one that float cannot tell
            // from certainty by far.
            x(i, labels[r]) = x.row(i).maxCoeff() + static_cast<T>(tau * random.uniform(0, 75));
        }
        const auto rows = rows_of(x);
        for_each_layout<T>(x, labels, loss, [&](const auto& values, const auto& gradients) {
            bool close = true;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                const exact expected = right(rows[r], static_cast<std::size_t>(labels[r]));
                close &= is_relative<T>(values[r], static_cast<double>(expected.value), 64 / tau);
                for (std::size_t j = 0; j < rows[r].size(); ++j)
                    close &= is_relative<T>(gradients[r][j], expected.gradient[j], 64 / tau);
            }
            CHECK(close);
        });
    }
}

TEMPLATE_TEST_CASE("losses keep their digits where the label is all but certain", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    using reference::certain;
    using reference::certain_gradient;
    check_certain<T>(heed::cross_entropy, [](const row& x, std::size_t t) {
        const auto of = certain(x, t);
        return exact{-of.log_p_t, certain_gradient(of, t, 1)};
    });
    check_certain<T>(
        heed::am_softmax(0.25, 0.125),
        [](const row& x, std::size_t t) {
            const auto of = certain(x, t, 0.125, 0.25);
            return exact{-of.log_p_t, certain_gradient(of, t, 8)};
        },
        0.125);
    for (const double gamma : {0.0, 0.25, 0.75, 1.0})
        check_certain<T>(heed::gamma_cross_entropy(gamma), [&](const row& x, std::size_t t) {
            const auto of = certain(x, t);
            const long double rest = 1 - gamma, p = std::exp(of.log_p_t);
            return exact{gamma == 1 ? of.others : -std::log1p(-rest * of.others) / rest,
                         certain_gradient(of, t, p / (gamma + rest * p))};
        });
    check_certain<T>(heed::thresholded_cross_entropy(0.5, 0.125), [](const row& x, std::size_t t) {
        const auto of = certain(x, t);
        const long double p = std::exp(of.log_p_t), w = std::max(0.125L, p / (0.5L + 0.5L * p));
        return exact{-w * of.log_p_t, certain_gradient(of, t, w)};
    });
    check_certain<T>(heed::stop_gradient_loss, [](const row& x, std::size_t t) {
        const auto of = certain(x, t);
        return exact{of.expected_gap, certain_gradient(of, t, 1)};
    });
}

TEMPLATE_TEST_CASE("two classes: log1p(e^-gap), at every gap", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const double last = std::is_same_v<T, float> ? 80 : 700;
    for (const double gap :
         {0.0, 2.0, 10.0, 14.0, 16.0, 17.0, 30.0, 37.42994775023705, 60.0, last}) {
        row_major<T> x(1, 2);
        x << T(1), T(1 + gap);
        const double exact_gap = static_cast<double>(x(1)) - 1, odds = std::exp(-exact_gap);
        const auto [loss, dx] = heed::cross_entropy.with_gradient(x, std::vector<int>{1});
        CHECK(is_relative<T>(static_cast<double>(loss), std::log1p(odds), 16));
        CHECK(is_relative<T>(static_cast<double>(dx(0, 1)), -odds / (1 + odds), 16));
        CHECK(is_relative<T>(static_cast<double>(dx(0, 0)), odds / (1 + odds), 16));
    }
}

/// Holds a loss to right(row, label) for logits of every size, up to the largest whose differences
/// are numbers; the maximum of some rows rises from block to block.
template <class T, class Loss, class Right>
void check_magnitudes(const Loss& loss, const Right& right) {
    heed_test::generator random;
    const double top = std::log10(static_cast<double>(std::numeric_limits<T>::max()) / 2);
    for (int step = 0; step < 12; ++step) {
        const Eigen::Index n = step % 3 == 0 ? 7 : 2600;
        const double size = std::pow(10.0, step == 0 ? top : random.uniform(-top, top));
        row_major<T> x(9, n);
        std::vector<int> labels(9);
        for (Eigen::Index r = 0; r < 9; ++r) {
            labels[static_cast<std::size_t>(r)] = static_cast<int>(random.integer(0, n - 1));
            for (Eigen::Index j = 0; j < n; ++j) {
                const double ramp = 2.0 * static_cast<double>(j + 1) / static_cast<double>(n) - 1;
                const double part = r == 0   ? 1.0
                                    : r == 1 ? -1.0
                                    : r < 5  ? random.uniform(-1, 1)
                                    : r < 7  ? ramp
                                             : -ramp;
                x(r, j) = static_cast<T>(size * part);
            }
        }
        const auto rows = rows_of(x);
        for_each_layout<T>(x, labels, loss, [&](const auto& values, const auto& gradients) {
            bool close = true;
            for (std::size_t r = 0; r < rows.size(); ++r) {
                const exact expected = right(rows[r], static_cast<std::size_t>(labels[r]));
                const auto value = static_cast<double>(static_cast<T>(expected.value));
                close &= values[r] == value ||
                         std::abs(values[r] - value) <= 32 * unit<T> * (1 + std::abs(value));
                for (std::size_t j = 0; j < rows[r].size(); ++j)
                    close &= std::abs(gradients[r][j] - expected.gradient[j]) <= 32 * unit<T>;
            }
            INFO("logits of " << size);
            CHECK(close);
        });
    }
}

TEMPLATE_TEST_CASE("losses of logits of every size", "", HEED_TEST_SCALARS) {
    using T = TestType;
    using reference::certain;
    using reference::certain_gradient;
    for (const double smoothing : {0.0, 0.1, 1.0})
        check_magnitudes<T>(
            heed::cross_entropy.label_smoothing(smoothing), [&](const row& x, std::size_t t) {
                const auto of = certain(x, t);
                return exact{-(1 - smoothing) * of.log_p_t - smoothing * of.mean_log_p,
                             certain_gradient(of, t, 1, smoothing)};
            });
    check_magnitudes<T>(heed::stop_gradient_loss, [](const row& x, std::size_t t) {
        const auto of = certain(x, t);
        return exact{of.expected_gap, certain_gradient(of, t, 1)};
    });
}

TEMPLATE_TEST_CASE("smoothed losses at the ends of the numbers", "", HEED_TEST_SCALARS) {
    using T = TestType;
    const T infinity = std::numeric_limits<T>::infinity(), most = std::numeric_limits<T>::max();
    const auto loss = [&](double smoothing, const row_major<T>& x, int label) {
        return heed::cross_entropy.label_smoothing(smoothing).with_gradient(
            x, std::vector<int>{label});
    };
    row_major<T> x(1, 5);
    x << 1, 2, -most, -most, -most;
    CHECK(loss(0.1, x, 1).value == Approx(0.06 * static_cast<double>(most)));
    x.setConstant(most);
    CHECK(loss(0.1, x, 1).value == Approx(std::log(5.0)));
    x.setConstant(-most);
    CHECK(loss(1, x, 1).value == Approx(std::log(5.0)));
    if (std::is_same_v<T, float>) {  // differences beyond the largest float
        x << most, -most, most, -most, most;
        CHECK(loss(0.1, x, 0).value == Approx(0.08 * static_cast<double>(most)));
        CHECK(loss(1, x, 1).value == Approx(0.8 * static_cast<double>(most)));
    }
    // A logit of −∞, or all of them: +∞ whatever the smoothing, if there is one.
    x << 1, 2, 3, -infinity, 4;
    for (const double smoothing : {0.1, 1.0}) {
        CHECK(loss(smoothing, x, 1).value == infinity);
        CHECK(loss(smoothing, x, 3).value == infinity);
        CHECK(loss(smoothing, x, 1).gradient(0, 3) == Approx(-smoothing / 5));
        const row_major<T> none = row_major<T>::Constant(1, 4, -infinity);
        const auto of_none = loss(smoothing, none, 2);
        CHECK(of_none.value == infinity);
        CHECK(of_none.gradient(0, 0) == Approx(-smoothing / 4));
        CHECK(of_none.gradient(0, 2) == Approx(smoothing - 1 - smoothing / 4));
        // One class is certain.
        CHECK(loss(smoothing, row_major<T>::Constant(1, 1, T(7)), 0).value == 0);
    }
    x << -infinity, -infinity, 5, -infinity, -infinity;
    CHECK(loss(0, x, 2).value == 0);
    CHECK(loss(0, x, 2).gradient.isZero(0));
    CHECK(loss(0.1, x, 2).value == infinity);
    CHECK(heed::stop_gradient_loss(x, std::vector<int>{2}) == 0);
    CHECK(heed::stop_gradient_loss(x, std::vector<int>{1}) == infinity);
}

TEST_CASE("a mean of losses whose sum is too large for a double") {
    Eigen::MatrixXd x(4, 2);
    x << 0, 1.2e308, 0, 0.8e308, 0, 1.6e308, 0, 0.4e308;
    CHECK(heed::cross_entropy(x, std::vector<int>(4, 0)) == Approx(1e308).epsilon(1e-14));
    CHECK(std::isinf(heed::cross_entropy.sum()(x, std::vector<int>(4, 0))));
    x(3, 0) = -std::numeric_limits<double>::infinity();
    CHECK(std::isinf(heed::cross_entropy(x, std::vector<int>(4, 0))));
    const Eigen::MatrixXf y = Eigen::MatrixXf::Constant(1, 2, 3e38f).replicate(9, 1) -
                              Eigen::MatrixXf::Identity(9, 2) * 3e38f;
    CHECK(heed::cross_entropy(y, std::vector<int>(9, 0)) == Approx(3e38 / 9));
}

TEMPLATE_TEST_CASE("losses of a million classes", "", HEED_TEST_SCALARS) {
    using T = TestType;
    constexpr Eigen::Index n = 1'000'000;
    row_major<T> x(2, n);
    for (Eigen::Index j = 0; j < n; ++j) {
        x(0, j) = static_cast<T>(5e-6 * static_cast<double>(j));  // rises all the time
        x(1, j) = T(-0.7);
    }
    x(1, 5) = T(3);
    const auto rows = rows_of(x);
    const std::vector<int> labels{300'000, 5};
    const std::vector<certain_row> right{reference::certain(rows[0], 300'000),
                                         reference::certain(rows[1], 5)};
    const auto check = [&](const auto& logits) {
        const auto plain = heed::cross_entropy.per_row().with_gradient(logits, labels);
        const auto gradients = rows_of(plain.gradient);
        const auto values = numbers_of(plain.value);
        const auto smoothed =
            numbers_of(heed::cross_entropy.label_smoothing(0.1).per_row()(logits, labels));
        const auto stopped = numbers_of(heed::stop_gradient_loss.per_row()(logits, labels));
        for (std::size_t r = 0; r < 2; ++r) {
            const certain_row& of = right[r];
            const auto t = static_cast<std::size_t>(labels[r]);
            const auto in_double = [](long double number) { return static_cast<double>(number); };
            CHECK(is_relative<T>(values[r], in_double(-of.log_p_t), 8));
            CHECK(is_relative<T>(smoothed[r], in_double(-0.9L * of.log_p_t - 0.1L * of.mean_log_p),
                                 8));
            const double gap = in_double(of.expected_gap);
            CHECK(std::abs(stopped[r] - gap) <= 32 * unit<T> * (1 + std::abs(gap)));
            bool close = true;
            for (std::size_t j = 0; j < rows[r].size(); ++j)
                close &= j == t || is_relative<T>(gradients[r][j], in_double(of.p[j]), 16);
            CHECK(close);
        }
    };
    check(x);
    check(column_major<T>(x));
}

}  // namespace test_certain_losses
