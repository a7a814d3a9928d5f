#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/projection.hpp>

#include "projection_check.hpp"
#include "reference/projection.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_projection {

template <class T>
void check_backward(Eigen::Index rows, Eigen::Index inputs, Eigen::Index outputs,
                    heed_test::generator& random) {
    const row_major<T> x = random.matrix<T>(rows, inputs), dy = random.matrix<T>(rows, outputs);
    const row_major<T> weight = random.matrix<T>(outputs, inputs);
    const vector<T> bias = random.matrix<T>(outputs, 1);
    const auto width = static_cast<std::size_t>(inputs);
    const auto expected =
        reference::project_backward(rows_of(dy), rows_of(x), rows_of(weight), width);
    const auto sizes = reference::project_backward(absolute(rows_of(dy)), absolute(rows_of(x)),
                                                   absolute(rows_of(weight)), width);
    const heed::packed_weights<T> packed(weight, bias);
    const auto found = heed::project_backward(dy, x, packed);
    CHECK(is_close<T>(rows_of(found.x), expected.x, sizes.x, static_cast<std::size_t>(outputs)));
    CHECK(is_close<T>(rows_of(found.weight), expected.weight, sizes.weight,
                      static_cast<std::size_t>(rows)));
    CHECK(is_close<T>({numbers_of(found.bias)}, {expected.bias}, {sizes.bias},
                      static_cast<std::size_t>(rows)));

    // In place, on threads, into memory of other orders: the same bits.
    Eigen::ThreadPool pool(3);
    const column_major<T> columns = weight;
    for (const auto& other :
         {heed::project_backward(dy, x, packed, heed::on(pool)),
          heed::project_backward(dy, x, heed::weights(weight, bias)),
          heed::project_backward(dy, x, heed::weights(columns, bias), heed::on(pool))}) {
        CHECK(same_bits(other.x, found.x));
        CHECK(same_bits(other.weight, found.weight));
        CHECK(same_bits(other.bias, found.bias));
    }
    column_major<T> dx(rows, inputs), d_weight(outputs, inputs), d_bias(2, outputs);
    const column_major<T> dy_columns = dy, x_columns = x;
    heed::project_backward_into(dx, d_weight, d_bias.row(1), dy_columns, x_columns, packed);
    CHECK(same_bits(dx, found.x));
    CHECK(same_bits(d_weight, found.weight));
    CHECK(same_bits(d_bias.row(1).transpose(), found.bias));
    // A row of dx does not depend on the others.
    if (rows > 1) {
        const row_major<T> last =
            heed::project_backward(dy.bottomRows(1), x.bottomRows(1), packed).x;
        CHECK(same_bits(last, found.x.bottomRows(1)));
    }
}

TEMPLATE_TEST_CASE("gradients of a projection are the reference's", "", HEED_TEST_SCALARS) {
    heed_test::generator random;
    check_backward<TestType>(1, 1, 1, random);
    check_backward<TestType>(2, 5, 3, random);
    check_backward<TestType>(37, 70, 19, random);
    check_backward<TestType>(601, 33, 40, random);  // several blocks of rows
    check_backward<TestType>(6, 310, 523, random);  // several depth blocks of dx
}

TEST_CASE("gradients of a projection agree with central differences") {
    heed_test::generator random;
    row_major<double> x = random.matrix<double>(4, 7), weight = random.matrix<double>(5, 7);
    vector<double> bias = random.matrix<double>(5, 1);
    const row_major<double> dy = random.matrix<double>(4, 5);
    const auto layer = heed::weights(weight, bias);  // seen where they lie
    const auto loss = [&] { return heed::project(x, layer).cwiseProduct(dy).sum(); };
    const auto gradient = heed::project_backward(dy, x, layer);
    const auto agrees = [&](auto& parameters, const auto& found) {
        double worst = 0;
        for (Eigen::Index i = 0; i < parameters.size(); ++i) {
            const double before = parameters.data()[i], h = 1e-5;
            parameters.data()[i] = before + h;
            const double above = loss();
            parameters.data()[i] = before - h;
            worst = std::max(worst, std::abs(found.data()[i] - (above - loss()) / (2 * h)));
            parameters.data()[i] = before;
        }
        return worst <= 1e-7 * found.cwiseAbs().maxCoeff();
    };
    CHECK(agrees(x, gradient.x));
    CHECK(agrees(weight, gradient.weight));
    CHECK(agrees(bias, gradient.bias));
}

TEST_CASE("gradients of tensors, permuted, without a bias, without rows, without allocating") {
    heed_test::generator random;
    const Eigen::Index batch = 2, n = 6, heads = 3, d = 21, outputs = 34;
    const auto x = random.tensor<float>(batch, n, heads, d);
    const auto dy = random.tensor<float>(batch, n, heads, outputs);
    const row_major<float> weight = random.matrix<float>(outputs, d);
    const heed::packed_weights<float> packed(weight);
    const auto whole = heed::project_backward(dy, x, packed);
    CHECK(whole.bias.size() == 0);
    const Eigen::Map<const row_major<float>> flat_x(x.data(), batch * n * heads, d),
        flat_dy(dy.data(), batch * n * heads, outputs);
    const auto flat = heed::project_backward(flat_dy, flat_x, packed);
    CHECK(same_bits(whole.weight, flat.weight));
    CHECK(rows_of(whole.x) == rows_of(flat.x));

    // [batch, heads, n] of [batch, n, heads]: rows that no one stride leads through.
    const auto permuted = [&](auto* data, Eigen::Index width) {
        return heed::view(data, {batch, heads, n, width},
                          {n * heads * width, width, heads * width, Eigen::Index(1)});
    };
    auto dx = x;
    row_major<float> d_weight(outputs, d);
    vector<float> d_bias(outputs);
    heed::workspace scratch;
    const auto run = [&] {
        heed::project_backward_into(permuted(dx.data(), d), d_weight, d_bias,
                                    permuted(dy.data(), outputs), permuted(x.data(), d), packed,
                                    heed::in(scratch));
    };
    run();
    const auto before = heed_test::allocations();
    run();
    CHECK(heed_test::allocations() == before);
    CHECK(rows_of(dx) == rows_of(whole.x));
    CHECK(d_weight.isApprox(whole.weight, 1e-5F));
    CHECK(d_bias.isApprox(flat_dy.colwise().sum().transpose(), 1e-5F));

    const auto none = heed::project_backward(row_major<float>(0, outputs), row_major<float>(0, d),
                                             heed::packed_weights<float>(weight, d_bias));
    CHECK(none.x.rows() == 0);
    CHECK(none.weight.isZero());
    CHECK(none.weight.rows() == outputs);
    CHECK(none.bias.isZero());
    CHECK(none.bias.size() == outputs);

    // A compile-time vector is one row.
    const vector<float> one = random.matrix<float>(d, 1), d_one = random.matrix<float>(outputs, 1);
    const vector<float> y = heed::project(one, packed);
    const auto of_one = heed::project_backward(d_one, one, packed);
    CHECK(same_bits(of_one.weight, d_one * one.transpose()));
    CHECK(same_bits(of_one.x.transpose(),
                    heed::project_backward(d_one.transpose(), one.transpose(), packed).x));
    CHECK(y.size() == outputs);
}

}  // namespace test_projection
