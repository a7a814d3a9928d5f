#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/projection.hpp>

#include "projection_check.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_projection {

using heed::argument_error;
using heed::shape_error;

TEST_CASE("shapes that do not fit are named") {
    heed_test::generator random;
    const row_major<float> weight = random.matrix<float>(5, 3), x = random.matrix<float>(2, 3);
    const vector<float> four(4), five = vector<float>::Zero(5);
    using weights = heed::packed_weights<float>;
    CHECK_THROWS_WITH(weights(weight, four),
                      "bias has length 4 and weight has shape [5, 3], but there must be one for "
                      "each output");
    CHECK_THROWS_AS(heed::weights(weight, four), shape_error);
    CHECK_THROWS_WITH(weights(weight, weight), "bias has shape [5, 3], but must be a vector");
    const row_major<std::int8_t> integers = row_major<std::int8_t>::Ones(5, 3);
    CHECK_THROWS_WITH(heed::packed_weights<std::int8_t>(integers, four),
                      "scales has length 4 and weight has shape [5, 3], but there must be one for "
                      "each output");
    CHECK_THROWS_AS(heed::packed_weights<std::int8_t>(integers, five, four), shape_error);
    CHECK_THROWS_AS(heed::weights(integers, four), shape_error);
    CHECK_THROWS_AS(heed::weights(integers, five, four), shape_error);
    const auto nowhere = heed::view(static_cast<const float*>(nullptr), {5, 3});
    CHECK_THROWS_AS(weights(nowhere), shape_error);
    CHECK_THROWS_AS(heed::weights(nowhere), shape_error);
    CHECK_THROWS_AS(weights(heed::view(weight.data(), {-5, 3})), shape_error);

    const weights packed(weight, five);
    CHECK_THROWS_WITH(heed::project(random.matrix<float>(2, 4), packed),
                      "x has shape [2, 4] and the weight has shape [5, 3], but the rows of x must "
                      "have one number for each input");
    CHECK_THROWS_AS(heed::project(vector<float>(4), packed), shape_error);
    CHECK_THROWS_AS(heed::project(heed::view(x.data(), {-2, 3}), packed), shape_error);
    row_major<float> y = row_major<float>::Constant(2, 5, 7), narrow(2, 4), high(3, 5);
    CHECK_THROWS_WITH(heed::project_into(narrow, x, packed),
                      "y has shape [2, 4] and the weight has shape [5, 3], but the rows of y must "
                      "have one number for each output");
    CHECK_THROWS_WITH(
        heed::project_into(high, x, packed),
        "x has shape [2, 3] and y has shape [3, 5], but they must have the same rows");
    CHECK_THROWS_AS(heed::project_into(y, random.matrix<float>(2, 2), packed), shape_error);
    CHECK((y.array() == 7).all());  // nothing has been written
}

TEST_CASE("gradients of other shapes are named") {
    heed_test::generator random;
    const row_major<float> weight = random.matrix<float>(5, 3), x = random.matrix<float>(2, 3),
                           dy = random.matrix<float>(2, 5);
    const heed::packed_weights<float> packed(weight);
    CHECK_THROWS_AS(heed::project_backward(dy, random.matrix<float>(2, 4), packed), shape_error);
    CHECK_THROWS_AS(heed::project_backward(dy, random.matrix<float>(3, 3), packed), shape_error);
    CHECK_THROWS_WITH(heed::project_backward(x, x, packed),
                      "dy has shape [2, 3] and the weight has shape [5, 3], but the rows of dy "
                      "must have one number for each output");
    row_major<float> dx = row_major<float>::Constant(2, 3, 7), d_weight(5, 3), turned(3, 5);
    vector<float> d_bias(5), d_four(4);
    CHECK_THROWS_WITH(heed::project_backward_into(dx, turned, dy, x, packed),
                      "d_weight has shape [3, 5] and the weight has shape [5, 3], but the two must "
                      "be the same");
    CHECK_THROWS_WITH(heed::project_backward_into(dx, d_weight, d_four, dy, x, packed),
                      "d_bias has shape [4, 1], but must be a vector of length 5");
    CHECK_THROWS_AS(heed::project_backward_into(turned, d_weight, dy, x, packed), shape_error);
    CHECK((dx.array() == 7).all());
}

TEST_CASE("integers are rounded from finite weights") {
    row_major<float> weight = row_major<float>::Ones(4, 6);
    weight(2, 5) = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(heed::packed_weights<std::int8_t>(weight),
                      "heed::packed_weights: the weight of output 2 and input 5 is inf, but what "
                      "is rounded to integers must be finite");
    weight(2, 5) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(heed::packed_weights<std::int8_t>(weight), argument_error);
}

TEST_CASE("outputs lie apart from inputs and from one another") {
    heed_test::generator random;
    row_major<float> memory = random.matrix<float>(40, 40);
    auto x = memory.block(0, 0, 4, 3);
    auto weight = memory.block(10, 0, 5, 3);
    auto bias = memory.block(20, 0, 5, 1);
    const auto w = heed::weights(weight, bias);
    const auto y = [&](Eigen::Index row, Eigen::Index column) {
        return memory.block(row, column, 4, 5);
    };
    const row_major<float> before = memory;
    CHECK_THROWS_WITH(heed::project_into(y(3, 2), x, w),
                      "y (shape [4, 5]) overlaps x (shape [4, 3]) in memory, but outputs must lie "
                      "apart from inputs");
    CHECK_THROWS_AS(heed::project_into(y(12, 0), x, w), argument_error);
    CHECK_THROWS_AS(heed::project_into(y(22, 0), x, w), argument_error);
    CHECK_THROWS_AS(heed::project_into(heed::view(memory.data() + 1000, {4, 5}, {0, 1}), x, w),
                    argument_error);
    CHECK(same_bits(memory, before));
    heed::project_into(y(0, 3), x, w);  // beside it
    CHECK(same_bits(memory.block(0, 3, 4, 5), heed::project(before.block(0, 0, 4, 3), w)));

    const auto dy = memory.block(30, 0, 4, 5);
    row_major<float> dx(4, 3), d_weight(5, 3);
    vector<float> d_bias(5);
    const auto refused = [&](auto&& to_x, auto&& to_weight, auto&& to_bias) {
        CHECK_THROWS_AS(heed::project_backward_into(to_x, to_weight, to_bias, dy, x, w),
                        argument_error);
    };
    refused(x, d_weight, d_bias);
    refused(memory.block(31, 0, 4, 3), d_weight, d_bias);
    refused(dx, weight, d_bias);
    refused(dx, d_weight, bias);
    refused(dx, memory.block(3, 0, 5, 3), d_bias);
    refused(dx, d_weight, Eigen::Map<vector<float>>(dx.data() + 2, 5));
    refused(memory.block(5, 20, 4, 3), memory.block(6, 20, 5, 3), d_bias);
}

}  // namespace test_projection
