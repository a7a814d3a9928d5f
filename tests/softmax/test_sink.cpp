#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "reference/softmax.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_sink {

using heed_test::rows_of;
using heed_test::unit;
using reference::row;

const double infinity = std::numeric_limits<double>::infinity();

/// Whether dx and one row's dsink are within a few roundings of the reference.
template <class T>
bool is_close(double value, double expected, double absolute) {
    return std::abs(value - expected) <= 16 * unit<T> * absolute;
}

TEMPLATE_TEST_CASE("softmax with a sink, of the rows of anything, is the reference's", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    for (const double logit : {0.0, -3.0, 5.0}) {
        const double tau = random.one_of({1.0, 0.5});
        const auto f = heed::sink(logit).temperature(tau);
        heed_test::for_each_object<T>(random, [&](const auto& x) {
            const auto p = f(x);
            auto dp = p;
            for (auto i = dp.size(); i-- > 0;) dp.data()[i] = static_cast<T>(random.normal());
            const auto [dx, ds] = f.backward(x, p, dp);
            const auto x_rows = rows_of(x), p_rows = rows_of(p), dp_rows = rows_of(dp),
                       dx_rows = rows_of(dx);
            bool close = true;
            double gradient = 0, gradient_absolute = 0;
            for (std::size_t r = 0; r < x_rows.size(); ++r) {
                const row expected = reference::softmax(x_rows[r], tau, logit);
                const row expected_dx = reference::softmax_backward(p_rows[r], dp_rows[r], tau);
                double absolute = 0;
                for (std::size_t i = 0; i < expected.size(); ++i)
                    absolute += std::abs(p_rows[r][i] * dp_rows[r][i]);
                for (std::size_t i = 0; i < expected.size(); ++i) {
                    close &= is_close<T>(p_rows[r][i], expected[i], expected[i] * (1 + 2 / tau));
                    close &= is_close<T>(dx_rows[r][i], expected_dx[i],
                                         p_rows[r][i] * (std::abs(dp_rows[r][i]) + absolute) / tau);
                }
                gradient += reference::sink_backward(x_rows[r], p_rows[r], dp_rows[r], tau, logit);
                gradient_absolute +=
                    reference::sink_probability(x_rows[r], tau, logit) * absolute / tau;
            }
            close &= is_close<T>(static_cast<double>(ds(0)), gradient, gradient_absolute);
            CHECK(close);
        });
    }
}

TEST_CASE("a sink of 0 is softmax-plus-one, a sink of -inf is softmax") {
    heed_test::generator random;
    const auto x = random.matrix<double>(9, 37);
    CHECK((heed::sink(0)(x) == heed::softmax_plus_one(x)));
    CHECK((heed::sink(-infinity)(x) == heed::softmax(x)));
}

TEST_CASE("a logit for each head is on the third axis from behind") {
    heed_test::generator random;
    const std::vector<double> logits{-1, 0.5, 2};
    const auto f = heed::sink(logits).temperature(0.8);
    const auto x = random.tensor<double>(2, 3, 5, 7);
    const auto dp = random.tensor<double>(2, 3, 5, 7);
    const auto p = f(x);
    const auto x_rows = rows_of(x), p_rows = rows_of(p), dp_rows = rows_of(dp);
    double worst = 0;
    std::vector<double> gradient(3);
    for (std::size_t r = 0; r < x_rows.size(); ++r) {
        const std::size_t head = r / 5 % 3;
        const row expected = reference::softmax(x_rows[r], 0.8, logits[head]);
        for (std::size_t i = 0; i < 7; ++i)
            worst = std::max(worst, std::abs(p_rows[r][i] - expected[i]));
        gradient[head] +=
            reference::sink_backward(x_rows[r], p_rows[r], dp_rows[r], 0.8, logits[head]);
    }
    CHECK(worst < 1e-15);
    const auto [dx, ds] = f.backward(x, p, dp);
    REQUIRE(ds.size() == 3);
    for (Eigen::Index head = 0; head < 3; ++head)
        CHECK(ds(head) == Approx(gradient[static_cast<std::size_t>(head)]).epsilon(1e-13));

    // Into the caller's memory, dx over dp, by column-major tensors, on two threads.
    Eigen::ThreadPool pool(2);
    Eigen::Tensor<double, 4> over(2, 3, 5, 7);
    for (Eigen::Index b = 0; b < 2; ++b)
        for (Eigen::Index h = 0; h < 3; ++h)
            for (Eigen::Index i = 0; i < 5; ++i)
                for (Eigen::Index j = 0; j < 7; ++j) over(b, h, i, j) = dp(b, h, i, j);
    Eigen::RowVectorXd ds_row(3);
    f.backward_into(over, ds_row, x, p, over, heed::on(pool));
    CHECK((ds_row.transpose() - ds).cwiseAbs().maxCoeff() < 1e-15);
    CHECK(over(1, 2, 3, 4) == Approx(dx(1, 2, 3, 4)));

    // [heads, queries, keys], and a single head without its axis.
    const auto three = random.tensor<double>(3, 4, 6);
    CHECK(rows_of(f(three)).size() == 12);
    CHECK_THROWS_AS(f(random.tensor<double>(2, 4, 6)), heed::shape_error);
    CHECK_THROWS_AS(f(random.matrix<double>(4, 6)), heed::shape_error);
    CHECK_NOTHROW(heed::sink(std::vector<double>{1})(random.matrix<double>(4, 6)));
    CHECK_THROWS_WITH(heed::sink(std::vector<double>{1})(three),
                      "heed::sink has 1 logits, but there are 3 heads");
    CHECK_NOTHROW(heed::sink(1)(three));
}

TEST_CASE("outputs of a sink lie apart from its logits and from one another") {
    heed_test::generator random;
    auto x = random.matrix<double>(3, 3), dx = x;
    std::vector<double> logits{0.5};
    Eigen::VectorXd ds(1);
    const auto f = heed::sink(logits);
    const Eigen::MatrixXd p = f(x), dp = random.matrix<double>(3, 3);
    const auto check = [](const char* message, auto&& call) {
        CHECK_THROWS_WITH(call(), Catch::Matchers::StartsWith(message));
        CHECK_THROWS_AS(call(), heed::argument_error);
    };
    const auto over = heed::view(logits.data(), {1, 1});
    const Eigen::MatrixXd one = Eigen::MatrixXd::Ones(1, 1);
    check("p (shape [1, 1]) overlaps heed::sink (shape [1])", [&] { f.into(over, one); });
    check("dx (shape [1, 1]) overlaps heed::sink",
          [&] { f.backward_into(over, ds, one, one, one); });
    check("ds (shape [1, 1]) overlaps heed::sink", [&] { f.backward_into(dx, over, x, p, dp); });
    check("ds (shape [1, 1]) overlaps dx",
          [&] { f.backward_into(dx, dx.block(1, 1, 1, 1), x, p, dp); });
    check("ds (shape [1, 1]) overlaps x",
          [&] { f.backward_into(dx, x.block(1, 1, 1, 1), x, p, dp); });
    CHECK(logits[0] == 0.5);
    // A logit of its own memory is in nobody's way.
    CHECK_NOTHROW(heed::sink(std::vector<double>{0.5}).backward_into(dx, ds, x, p, dp));
}

TEST_CASE("backward of a sink agrees with central differences") {
    heed_test::generator random;
    auto x = random.matrix<double>(4, 9);
    const auto dp = random.matrix<double>(4, 9);
    const double logit = 0.3, h = 1e-5;
    const auto loss = [&](double s) {
        return heed::sink(s).temperature(0.7)(x).cwiseProduct(dp).sum();
    };
    const auto f = heed::sink(logit).temperature(0.7);
    const auto [dx, ds] = f.backward(x, f(x), dp);
    const double scale = dx.cwiseAbs().maxCoeff();
    CHECK(std::abs((loss(logit + h) - loss(logit - h)) / (2 * h) - ds(0)) <= 1e-7 * scale);
    double worst = 0;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double before = x.data()[i];
        x.data()[i] = before + h;
        const double above = loss(logit);
        x.data()[i] = before - h;
        const double below = loss(logit);
        x.data()[i] = before;
        worst = std::max(worst, std::abs((above - below) / (2 * h) - dx.data()[i]));
    }
    CHECK(worst <= 1e-7 * scale);
}

TEST_CASE("the sink's extremes") {
    Eigen::MatrixXf x(4, 2);
    const float inf = std::numeric_limits<float>::infinity();
    x << 1e4f, -1e4f, -inf, -inf, NAN, 0, -1e4f, -1e4f;
    const auto check = [&](const auto& f, float first, float last) {
        const auto p = f(x);
        CHECK(p(0, 0) == first);
        CHECK(p(0, 1) == 0);
        CHECK(p(1, 0) == 0);
        CHECK(std::isnan(p(2, 1)));
        CHECK(p(3, 0) == last);
    };
    check(heed::sink(0), 1, 0);
    check(heed::sink(1e4), 0.5f, 0);
    check(heed::sink(-1e4), 1, 1 / 3.f);
    check(heed::sink(-inf), 1, 0.5f);
    check(heed::softmax_plus_one, 1, 0);
    const auto [dx, ds] = heed::sink(3).backward(x.row(1), heed::sink(3)(x.row(1)), x.row(0));
    CHECK(dx(0) == 0);
    CHECK(ds(0) == 0);
}

TEST_CASE("bad sinks are refused") {
    const Eigen::MatrixXd x = Eigen::MatrixXd::Zero(3, 4);
    CHECK_THROWS_AS(heed::sink(NAN)(x), heed::argument_error);
    CHECK_THROWS_AS(heed::sink(infinity)(x), heed::argument_error);
    CHECK_THROWS_AS(heed::sink(0).temperature(0), heed::argument_error);
    Eigen::MatrixXd dx(3, 4);
    Eigen::VectorXd ds(2);
    CHECK_THROWS_AS(heed::sink(0).backward_into(dx, ds, x, x, x), heed::shape_error);
    CHECK_THROWS_AS(heed::sink(0).backward_into(dx, dx.col(0).head(1), x, x, x),
                    heed::argument_error);
}

}  // namespace test_sink
