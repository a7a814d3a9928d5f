#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/measure/sparsity.hpp>
#include <heed/softmax/contexts/nbce.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>
#include <heed/softmax/noise/gumbel_softmax.hpp>
#include <heed/softmax/noise/perturb_samples.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_row_arguments {

using heed::index;  // inside a namespace: <strings.h> has a global one
using matrix = Eigen::MatrixXf;

/// f() is refused by this error, whose message begins so.
template <class Error, class F>
void check_refused(const std::string& message, F&& f) {
    INFO(message);
    CHECK_THROWS_AS(f(), Error);
    CHECK_THROWS_WITH(f(), Catch::Matchers::StartsWith(message));
}

/// Views that no memory can have, and how a message about them goes on.
struct impossible {
    heed::tensor_view<float, 2> view;
    const char* message;
};
std::vector<impossible> impossible_views(float* memory) {
    constexpr index huge = index(1) << 40, large = index(1) << 31;
    return {
        {heed::view(memory, {2, -1}), " has shape [2, -1], but extents must not be negative"},
        {heed::view(memory, {-4, 5}), " has shape [-4, 5], but extents must not be negative"},
        {heed::view(memory, {-2, -2}), " has shape [-2, -2], but extents must not be negative"},
        {heed::view(memory, {large, large}, {0, 0}),
         " has shape [2147483648, 2147483648] with strides [0, 0], but its size in bytes must"},
        {heed::view(memory, {huge, huge}, {0, 0}),
         " has shape [1099511627776, 1099511627776] with strides [0, 0], but its size"},
        {heed::view(static_cast<float*>(nullptr), {2, 3}), " is a null pointer with shape [2, 3]"}};
}

TEST_CASE("functions that return their result check before they allocate, and say what was given") {
    float memory[64] = {};
    const std::vector<int> two{0, 0};
    const matrix fine = matrix::Zero(2, 3);
    const Eigen::VectorXf numbers = Eigen::VectorXf::Zero(2);
    for (const auto& [bad, message] : impossible_views(memory)) {
        const auto refused = [&, rest = std::string(message), &x = bad](const char* name,
                                                                        auto&& f) {
            check_refused<heed::shape_error>(name + rest, [&] { f(x); });
        };
        refused("x", [](const auto& x) { heed::softmax(x); });
        refused("x", [](const auto& x) { heed::sparsemax(x); });
        refused("x", [](const auto& x) { heed::sink(0.5)(x); });
        refused("x", [](const auto& x) { heed::log_sum_exp(x); });
        refused("x", [](const auto& x) { heed::entropy_normalised(0.5)(x); });
        refused("x", [](const auto& x) { heed::gumbel_softmax(1)(x); });
        refused("x", [](const auto& x) { heed::gumbel_softmax(1).hard().backward(x, x, x); });
        refused("x", [](const auto& x) { heed::perturb_samples(heed::perturb::normal, 1)(x); });
        refused("x", [](const auto& x) { heed::measure::gini(x); });
        refused("x", [&](const auto& x) { heed::cross_entropy(x, two); });
        refused("x", [&](const auto& x) { heed::cross_entropy.with_gradient(x, two); });
        refused("x", [&](const auto& x) { heed::cross_entropy.per_row()(x, two); });
        refused("x", [&](const auto& x) { heed::cross_entropy.per_row().with_gradient(x, two); });
        refused("x", [&](const auto& x) { heed::sparsemax_loss.with_gradient(x, two); });
        refused("the contexts", [&](const auto& x) { heed::nbce({})(x, Eigen::VectorXf(3)); });
        // Backward names whichever it is.
        refused("x", [&](const auto& x) { heed::softmax.backward(x, fine, fine); });
        refused("y", [&](const auto& y) { heed::softmax.backward(fine, y, fine); });
        refused("dy", [&](const auto& dy) { heed::softmax.backward(fine, fine, dy); });
        refused("p", [&](const auto& p) { heed::sink(0.5).backward(fine, p, fine); });
        refused("dp", [&](const auto& dp) { heed::sink(0.5).backward(fine, fine, dp); });
        refused("q", [&](const auto& q) { heed::entropy_normalised(0).backward(fine, q, fine); });
        refused("dq", [&](const auto& d) { heed::entropy_normalised(0).backward(fine, fine, d); });
        refused("x", [&](const auto& x) { heed::log_sum_exp.backward(x, numbers, numbers); });
    }
}

TEST_CASE("inputs of different shapes are named, not the result, which nobody gave") {
    const matrix x = matrix::Zero(4, 6), other = matrix::Zero(6, 4);
    // A result of this shape could not be allocated.
    float number = 0;
    const auto many = heed::view(&number, {index(1) << 50, index(6)}, {0, 0});
    const std::string shapes = " has shape [4, 6] and ",
                      of_many = "x has shape [1125899906842624, 6]";
    using heed::shape_error;
    check_refused<shape_error>("x" + shapes + "y has shape [6, 4]",
                               [&] { heed::softmax.backward(x, other, x); });
    check_refused<shape_error>("x" + shapes + "dy has shape [6, 4]",
                               [&] { heed::softmax.backward(x, x, other); });
    check_refused<shape_error>(of_many + " and dy has shape [4, 6]",
                               [&] { heed::softmax.backward(many, many, x); });
    check_refused<shape_error>("x" + shapes + "p has shape [6, 4]",
                               [&] { heed::sink(0).backward(x, other, x); });
    check_refused<shape_error>(of_many + " and p has shape [4, 6]",
                               [&] { heed::sink(0).backward(many, x, x); });
    check_refused<shape_error>("x" + shapes + "dq has shape [6, 4]",
                               [&] { heed::entropy_normalised(0).backward(x, x, other); });
    const Eigen::VectorXf five(5);
    check_refused<shape_error>("dz has shape [5] and x has shape [4, 6]",
                               [&] { heed::log_sum_exp.backward(x, five.head(4).eval(), five); });
    check_refused<shape_error>("z has shape [5] and x has shape [1125899906842624, 6]",
                               [&] { heed::log_sum_exp.backward(many, five, five); });
    check_refused<shape_error>("labels has 5 elements and " + of_many, [&] {
        heed::cross_entropy.with_gradient(many, std::vector<int>(5));
    });
    check_refused<shape_error>("labels has shape [5] and " + of_many,
                               [&] { heed::cross_entropy.per_row()(many, Eigen::VectorXi(5)); });
}

TEST_CASE("losses and their gradients lie apart from logits, labels and one another") {
    heed_test::generator random;
    matrix x = random.matrix<float, Eigen::ColMajor>(4, 6), dx = matrix::Constant(4, 6, 9);
    const matrix before = x, untouched = dx;
    Eigen::VectorXi labels = Eigen::VectorXi::Constant(4, 2);
    std::vector<int> listed(24, 1);
    Eigen::VectorXf losses(4);
    float loss = 9;
    using heed::argument_error;
    const auto as_floats = [](int* numbers, index rows, index columns) {
        return Eigen::Map<matrix>(reinterpret_cast<float*>(numbers), rows, columns);
    };
    const auto& each = heed::cross_entropy;
    const auto rows = heed::cross_entropy.per_row();

    check_refused<argument_error>("the loss (shape []) overlaps x (shape [4, 6])",
                                  [&] { each.into(x(3, 5), x, labels); });
    check_refused<argument_error>("the loss (shape []) overlaps dx (shape [4, 6])",
                                  [&] { each.gradient_into(dx(0, 1), dx, x, labels); });
    check_refused<argument_error>("the loss (shape [4]) overlaps x",
                                  [&] { rows.into(x.col(2), x, labels); });
    check_refused<argument_error>("the loss (shape [4]) overlaps dx",
                                  [&] { rows.gradient_into(dx.col(2), dx, x, labels); });
    check_refused<argument_error>("the loss (shape [4]) overlaps labels (shape [4, 1])", [&] {
        rows.into(as_floats(labels.data(), 4, 1).col(0), x, labels);
    });
    check_refused<argument_error>("dx (shape [24, 1]) overlaps labels (shape [24])", [&] {
        each.gradient_into(loss, as_floats(listed.data() + 23, 24, 1), matrix(24, 1), listed);
    });
    CHECK(x == before);
    CHECK(dx == untouched);
    CHECK((labels.array() == 2).all());
    CHECK(loss == 9);

    // The gradient over the logits, the losses between the gradients' columns.
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> wide(4, 7);
    wide.leftCols(6) = x;
    rows.gradient_into(wide.col(6), wide.leftCols(6), wide.leftCols(6), labels);
    const auto [right, gradient] = rows.with_gradient(x, labels);
    CHECK(wide.col(6).isApprox(right, 1e-6F));
    CHECK(wide.leftCols(6).isApprox(gradient, 1e-6F));
}

}  // namespace test_row_arguments
