#include <cmath>
#include <vector>

#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary_bias.hpp>

#include "attention/modifiers/modifier_checks.hpp"
#include "reference/rope.hpp"

namespace test_rotary_bias {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// aᵀR_{j−i}b of every head; one row serves all.
reference::modifier rotary_bias(const matrix& a, const matrix& b, const reference::rotation& how,
                                const heed::attention_shape& shape) {
    return reference::by_distance(
        [=](index h, double distance) {
            const index row = a.rows() == 1 ? 0 : h;
            reference::tensor x(1, 1, 1, b.cols());
            for (index c = 0; c < b.cols(); ++c) x(0, 0, 0, c) = b(row, c);
            const auto turned = reference::rotate(x, how, [=](index, index) { return distance; });
            double sum = 0;
            for (index c = 0; c < a.cols(); ++c) sum += a(row, c) * turned(0, 0, 0, c);
            return sum;
        },
        shape.queries, shape.keys);
}

struct rotary_problem {
    index dim;
    bool interleaved;
    matrix a, b;
    heed::rope::frequencies rope;
    reference::rotation how;

    rotary_problem(generator& random, index heads)
        : dim(2 * random.one_of<index>({1, 3, 8, 33})),
          interleaved(random.chance(0.5)),
          a(random.chance(0.4) ? 1 : heads, dim),
          b(a.rows(), dim),
          rope(heed::rope::plain(
              {.dim = dim, .layout = interleaved ? heed::rope::interleaved : heed::rope::halves})),
          how{reference::plain_frequencies(dim), interleaved} {
        random.fill_normal(a, 0.3);
        random.fill_normal(b, 0.3);
    }
};

TEMPLATE_TEST_CASE("a rotary bias is its definition, in the table and beyond", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(91);
    for (int round = 0; round < 16; ++round) {
        auto shape = random_shape(random);
        if (round % 4 == 0) shape.keys += 200;
        const rotary_problem x(random, shape.heads);
        INFO("dim " << x.dim << ", rows " << x.a.rows() << ", interleaved " << x.interleaved);
        check_modifier<T>(heed::rotary_bias(x.a, x.b, x.rope, random.integer(1, 100)), shape,
                          rotary_bias(x.a, x.b, x.how, shape), 10, random);
    }
}

TEMPLATE_TEST_CASE("the gradients of a rotary bias are central differences", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    const double tolerance = std::is_same_v<T, float> ? 4e-6 : 1e-8;
    const double step = 1e-5;
    generator random(92);
    for (int round = 0; round < 6; ++round) {
        auto shape = random_shape(random);
        if (round == 0) shape.keys += 200;
        rotary_problem x(random, shape.heads);
        const weighted_scores all(shape, random);
        const auto gradient =
            all.gradient<T>(heed::rotary_bias(x.a, x.b, x.rope, random.integer(1, 100)));
        REQUIRE(gradient.size() == x.a.size() + x.b.size());
        const auto loss = [&] { return all.loss(rotary_bias(x.a, x.b, x.how, shape)); };
        const double bound = tolerance * (1 + all.loss(rotary_bias(x.a, x.b, x.how, shape), true));
        for (int n = 0; n < 12; ++n) {
            const index side = random.integer(0, 1);
            matrix& of = side == 0 ? x.a : x.b;
            const index row = random.integer(0, of.rows() - 1);
            const index c = random.integer(0, of.cols() - 1);
            const double at = of(row, c);
            of(row, c) = at + step;
            const double up = loss();
            of(row, c) = at - step;
            const double down = loss();
            of(row, c) = at;
            INFO("side " << side << ", row " << row << ", c " << c);
            CHECK(std::abs(static_cast<double>(gradient(side, row, c)) -
                           (up - down) / (2 * step)) <= bound);
        }
    }
}

TEST_CASE("vectors serve all heads, whatever their kind") {
    generator random(93);
    const heed::attention_shape shape{1, 3, 3, 9, 11, 8, 8};
    const auto rope = heed::rope::plain({.dim = 6});
    const auto a = random.matrix<double>(1, 6), b = random.matrix<double>(1, 6);
    const Eigen::VectorXd column_a = a.row(0), column_b = b.row(0);
    const Eigen::Tensor<double, 1> tensor_a =
        Eigen::TensorMap<const Eigen::Tensor<double, 1>>(a.data(), 6);
    const Eigen::Tensor<double, 1> tensor_b =
        Eigen::TensorMap<const Eigen::Tensor<double, 1>>(b.data(), 6);
    const auto expected = rotary_bias(a, b, {reference::plain_frequencies(6)}, shape);
    check_modifier<double>(heed::rotary_bias(column_a, column_b, rope, 20), shape, expected, 10,
                           random);
    check_modifier<double>(heed::rotary_bias(tensor_a, tensor_b, rope, 20), shape, expected, 10,
                           random);
}

TEST_CASE("a rotary bias refuses what does not fit") {
    const heed::attention_shape shape{2, 4, 4, 6, 8, 16, 16};
    const auto rope = heed::rope::plain({.dim = 6});
    const Eigen::MatrixXf two = Eigen::MatrixXf::Zero(2, 6), three = Eigen::MatrixXf::Zero(3, 6);
    const Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(2, 8);
    CHECK_THROWS_AS(heed::rotary_bias(two, three, rope, 8), heed::shape_error);
    CHECK_THROWS_WITH(heed::rotary_bias(two, three, rope, 8),
                      "heed::rotary_bias: a has shape [2, 6] and b has shape [3, 6], but they must "
                      "be the same");
    CHECK_THROWS_WITH(heed::rotary_bias(wide, wide, rope, 8),
                      "heed::rotary_bias: a and b have shape [2, 8], but the frequencies turn 6 "
                      "dimensions");
    CHECK_THROWS_AS(heed::rotary_bias(two, two, rope, 0), heed::argument_error);
    CHECK_THROWS_WITH(heed::rotary_bias(two, two, rope, 8).check(shape),
                      "heed::rotary_bias: a and b have 2 rows, but must have 1 or 4, one for each "
                      "query head");
    Eigen::Tensor<float, 3> wrong(2, 2, 5);
    CHECK_THROWS_WITH(
        heed::rotary_bias(two, two, rope, 8).check_gradient(heed::detail::view_of(wrong), shape),
        "the gradient of heed::rotary_bias has shape [2, 2, 5], but must have [2, 2, 6]");
}

}  // namespace test_rotary_bias
