// Softmax over rows and its relatives give what PyTorch gives, forward and backward, on
// column-major matrices of floats and row-major ones of doubles; tests/softmax has all four.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "golden.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_softmax {

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// How a call is made: the scalar and the storage order.
template <class T, int StorageOrder>
struct kind {
    using scalar = T;
    static constexpr int order = StorageOrder;
    using input = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, StorageOrder>;
};

// An example in doubles, and the relative error that each row's weights may have.
struct rows {
    const example& golden;
    double tau;
    double epsilon;
    matrix x, d_y, y, d_x;

    rows(const std::string& name, double rounding)
        : golden(load("softmax", name)),
          tau(golden.has("temperature") ? golden.number("temperature") : 1),
          epsilon(rounding),
          x(golden.matrix<double>("x")),
          d_y(golden.matrix<double>("d_y")),
          y(golden.matrix<double>("y")),
          d_x(golden.matrix<double>("d_x")) {}

    // A weight e^((x − max)/τ) inherits the rounding of its argument; below e^−40 it is nothing.
    matrix weight_error() const {
        matrix distance = (-x).colwise() + x.rowwise().maxCoeff();
        return epsilon * (8 + 2 * (distance.array() / tau).min(40)).matrix();
    }

    template <class Actual>
    void check(const std::string& label, const Actual& actual, const matrix& expected,
               const matrix& bound) const {
        INFO(label);
        REQUIRE(actual.rows() == expected.rows());
        REQUIRE(actual.cols() == expected.cols());
        for (Eigen::Index i = 0; i < expected.rows(); ++i) {
            for (Eigen::Index j = 0; j < expected.cols(); ++j) {
                const double a = static_cast<double>(actual(i, j)), b = expected(i, j);
                INFO("(" << i << ", " << j << "): " << a << ", PyTorch: " << b);
                // The files hold 12 digits.
                CHECK((a == b || std::abs(a - b) <= bound(i, j) + 1e-11 * std::abs(b) + 1e-16));
            }
        }
    }

    // p and the gradient p ⊙ (dp − p·dp)/τ.
    template <class Actual>
    void check_softmax(const Actual& p, const Actual& d_x_actual) const {
        const matrix error = weight_error();
        check("y", p, y, error.cwiseProduct(y));
        const matrix mean = y.cwiseProduct(d_y.cwiseAbs()).rowwise().sum();
        const matrix sum = d_y.cwiseAbs().colwise() + mean.col(0);
        check("d_x", d_x_actual, d_x, 2 * error.cwiseProduct(y).cwiseProduct(sum) / tau);
    }
};

TEMPLATE_TEST_CASE("softmax over rows is PyTorch's", "[golden][softmax]",
                   (kind<float, Eigen::ColMajor>), (kind<double, Eigen::RowMajor>)) {
    using T = typename TestType::scalar;
    constexpr int order = TestType::order;
    const double epsilon = std::numeric_limits<T>::epsilon();

    for (const char* name : {"softmax", "softmax_hot", "softmax_hidden", "softmax_one_column",
                             "softmax_long", "softmax_temperature"}) {
        INFO(name);
        const rows expected(name, epsilon);
        const auto x = expected.golden.matrix<T, order>("x");
        const auto d_p = expected.golden.matrix<T, order>("d_y");
        const auto softmax = heed::softmax.temperature(expected.tau);
        const auto p = softmax(x);
        expected.check_softmax(p, softmax.backward(x, p, d_p));
    }
    for (const char* name : {"softmax_plus_one", "softmax_plus_one_cold"}) {
        INFO(name);
        const rows expected(name, epsilon);
        const auto x = expected.golden.matrix<T, order>("x");
        const auto d_p = expected.golden.matrix<T, order>("d_y");
        const auto p = heed::softmax_plus_one(x);
        expected.check_softmax(p, heed::softmax_plus_one.backward(x, p, d_p));
    }
}

TEMPLATE_TEST_CASE("softmax with a sink is PyTorch's", "[golden][softmax]", HEED_TEST_SCALARS) {
    const double epsilon = std::numeric_limits<TestType>::epsilon();
    const rows expected("sink", epsilon);
    const auto x = expected.golden.matrix<TestType>("x");
    const auto d_p = expected.golden.matrix<TestType>("d_y");
    const auto sink = heed::sink(expected.golden.number("sink"));
    const auto p = sink(x);
    const auto [d_x, d_sink] = sink.backward(x, p, d_p);
    expected.check_softmax(p, d_x);
    const double d_expected = expected.golden.number("d_sink");
    const double size = expected.y.cwiseProduct(expected.d_y.cwiseAbs()).sum();
    CHECK(std::abs(static_cast<double>(d_sink(0)) - d_expected) <= 32 * epsilon * size + 1e-11);
}

TEMPLATE_TEST_CASE("a sink a head is PyTorch's", "[golden][softmax]", HEED_TEST_SCALARS) {
    using tensor = Eigen::Tensor<TestType, 3, Eigen::RowMajor>;
    const double epsilon = std::numeric_limits<TestType>::epsilon();
    const rows expected("sink_of_rows", epsilon);
    const auto x = expected.golden.matrix<TestType>("x");
    const auto d_p = expected.golden.matrix<TestType>("d_y");

    // Each of the example's rows is a head of one query.
    using matrix_of = std::remove_const_t<decltype(x)>;
    const auto heads = [&](const matrix_of& from) {
        tensor to(from.rows(), 1, from.cols());
        std::copy_n(from.data(), from.size(), to.data());
        return to;
    };
    const auto back = [&](const tensor& from) {
        return matrix_of(Eigen::Map<const matrix_of>(from.data(), x.rows(), x.cols()));
    };
    const auto logits = expected.golden.numbers<TestType>("sink");
    const auto sink = heed::sink(logits);
    const tensor p = sink(heads(x));
    const auto [d_x, d_sink] = sink.backward(heads(x), p, heads(d_p));
    expected.check_softmax(back(p), back(d_x));
    const auto d_expected = expected.golden["d_sink"].values;
    REQUIRE(static_cast<std::size_t>(d_sink.size()) == d_expected.size());
    for (Eigen::Index h = 0; h < d_sink.size(); ++h)
        CHECK(static_cast<double>(d_sink(h)) ==
              Approx(d_expected[static_cast<std::size_t>(h)]).epsilon(64 * epsilon + 1e-11));
}

TEMPLATE_TEST_CASE("log-softmax and log-sum-exp over rows are PyTorch's", "[golden][softmax]",
                   (kind<float, Eigen::ColMajor>), (kind<double, Eigen::RowMajor>)) {
    using T = typename TestType::scalar;
    constexpr int order = TestType::order;
    const double epsilon = std::numeric_limits<T>::epsilon();

    for (const char* name : {"log_softmax", "log_softmax_hot"}) {
        INFO(name);
        const rows expected(name, epsilon);
        const auto x = expected.golden.matrix<T, order>("x");
        const auto d_y = expected.golden.matrix<T, order>("d_y");
        const auto y = heed::log_softmax(x);
        expected.check("y", y, expected.y, epsilon * (4 + 2 * expected.y.array().abs()).matrix());
        const matrix total = expected.d_y.cwiseAbs().rowwise().sum();
        const matrix p = expected.y.array().exp();
        const matrix bound =
            expected.weight_error().array() *
            (expected.d_y.array().abs() + p.array().colwise() * total.col(0).array());
        expected.check("d_x", heed::log_softmax.backward(x, y, d_y), expected.d_x, bound);
    }
    for (const char* name : {"log_sum_exp", "log_sum_exp_hot", "log_sum_exp_temperature"}) {
        INFO(name);
        const rows expected(name, epsilon);
        const auto x = expected.golden.matrix<T, order>("x");
        const auto d_z = expected.golden.matrix<T, order>("d_y");
        const auto log_sum_exp = heed::log_sum_exp.temperature(expected.tau);
        const auto z = log_sum_exp(x);
        expected.check("y", z, expected.y, epsilon * (4 + 2 * expected.y.array().abs()).matrix());
        expected.check("d_x", log_sum_exp.backward(x, z, d_z), expected.d_x,
                       expected.weight_error().cwiseProduct(expected.d_x.cwiseAbs()));
    }
}

}  // namespace test_golden_softmax
}  // namespace golden
