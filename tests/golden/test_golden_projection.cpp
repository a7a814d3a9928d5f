// Projections give what PyTorch's linear layers give, with their gradients, and weights of fewer
// bits are rounded as PyTorch rounds them.

#include <cstdint>
#include <string>
#include <type_traits>

#include <Eigen/Core>

#include <heed/projection.hpp>

#include "golden.hpp"
#include "golden_numbers.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_projection {

template <class T>
void check(const std::string& name) {
    INFO(name);
    const example& expected = load("projection", name);
    const double error = std::is_same_v<T, double> ? 1e-11 : 2e-6;
    const auto x = expected.tensor<T, 3>("x");
    const auto d_y = expected.tensor<T, 3>("d_y");
    const auto weight = expected.matrix<T>("weight");
    const auto bias = expected.tensor<T, 1>("bias");
    const heed::packed_weights<T> packed(weight, bias);
    check_numbers("y", heed::project(x, packed), expected["y"], error);
    const auto gradient = heed::project_backward(d_y, x, heed::weights(weight, bias));
    check_numbers("d_x", gradient.x, expected["d_x"], error);
    check_numbers("d_weight", gradient.weight, expected["d_weight"], error);
    check_numbers("d_bias", gradient.bias, expected["d_bias"], error);
}

TEST_CASE("projections and their gradients are PyTorch's", "[golden][projection]") {
    for (const char* name : {"tensor", "one_row"}) {
        check<float>(name);
        check<double>(name);
    }
}

TEST_CASE("weights are rounded as PyTorch rounds them", "[golden][projection]") {
    const example& expected = load("projection", "rounded");
    const auto x = expected.matrix<float>("x"), weight = expected.matrix<float>("weight");
    // A weight rounded to the other side would be off by 1e-3 and more.
    const double error = 2e-6;
    check_numbers("bfloat16", heed::project(x, heed::packed_weights<Eigen::bfloat16>(weight)),
                  expected["y_bfloat16"], error);
    check_numbers("half", heed::project(x, heed::packed_weights<Eigen::half>(weight)),
                  expected["y_half"], error);
    check_numbers("int8", heed::project(x, heed::packed_weights<std::int8_t>(weight)),
                  expected["y_int8"], error);
}

}  // namespace test_golden_projection
}  // namespace golden
