#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/projection.hpp>

#include "projection_check.hpp"
#include "reference/projection.hpp"
#include "rows/row_objects.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_projection {

TEMPLATE_TEST_CASE("the projection of anything with rows is the reference's", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random;
    heed_test::for_each_object<T>(random, [&](const auto& x) {
        const auto rows = rows_of(x);
        const auto inputs = static_cast<Eigen::Index>(rows[0].size());
        const auto outputs = random.integer(1, 70);
        const auto weight = random.matrix<T>(outputs, inputs);
        const vector<T> bias = random.matrix<T>(outputs, 1);
        const auto expected = reference::project(rows, rows_of(weight), numbers_of(bias));
        const auto sizes = reference::project(absolute(rows), absolute(rows_of(weight)),
                                              absolute(numbers_of(bias)));
        const heed::packed_weights<T> packed(weight, bias);
        const auto y = heed::project(x, packed);
        CHECK(is_close<T>(rows_of(y), expected, sizes, rows[0].size()));
        static_assert(heed::rank_of<decltype(y)> == heed::rank_of<decltype(x)>);
        CHECK(rows_of(heed::project(x, heed::weights(weight, bias))) == rows_of(y));
    });
}

/// y by plain numbers: a chain of multiply-adds over the inputs from 0, times the scale, plus the
/// bias, rounded as heed says that it rounds.
template <class T, class Weight>
row_major<T> chain(const row_major<T>& x, const Weight& weight, const vector<T>* scales,
                   const vector<T>* bias) {
    row_major<T> y(x.rows(), weight.rows());
    for (Eigen::Index r = 0; r < x.rows(); ++r)
        for (Eigen::Index o = 0; o < weight.rows(); ++o) {
            T sum = 0;
            for (Eigen::Index k = 0; k < x.cols(); ++k)
                sum = heed::fma(x(r, k), static_cast<T>(weight(o, k)), sum);
            if (scales != nullptr)
                y(r, o) = heed::fma(sum, (*scales)(o), bias != nullptr ? (*bias)(o) : T(0));
            else
                y(r, o) = bias != nullptr ? sum + (*bias)(o) : sum;
        }
    return y;
}

/// Packed, and where they lie in rows, columns and neither: all the chain, for few and many rows.
template <class S, class T>
void check_chains(const row_major<S>& weight, heed_test::generator& random) {
    const Eigen::Index outputs = weight.rows(), inputs = weight.cols();
    const vector<T> bias = random.matrix<T>(outputs, 1);
    const column_major<S> columns = weight;
    Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> spread(2 * outputs,
                                                                             3 * inputs + 1);
    spread.setConstant(static_cast<S>(1));
    for (Eigen::Index o = 0; o < outputs; ++o)
        for (Eigen::Index k = 0; k < inputs; ++k) spread(2 * o, 3 * k) = weight(o, k);
    const auto far =
        heed::view(spread.data(), {outputs, inputs}, {2 * spread.cols(), Eigen::Index(3)});
    const heed::packed_weights<S> packed(weight, bias), bare(far);
    const auto in_rows = heed::weights(weight, bias);
    const auto in_columns = heed::weights(columns, bias);
    const auto anywhere = heed::weights(far);
    for (const Eigen::Index rows : {1, 2, 3, 5, 14}) {
        const row_major<T> x = random.matrix<T>(rows, inputs);
        const auto with_bias = chain<T>(x, weight, nullptr, &bias);
        const auto without = chain<T>(x, weight, nullptr, nullptr);
        CHECK(same_bits(heed::project(x, packed), with_bias));
        CHECK(same_bits(heed::project(x, in_rows), with_bias));
        CHECK(same_bits(heed::project(x, in_columns), with_bias));
        CHECK(same_bits(heed::project(x, bare), without));
        CHECK(same_bits(heed::project(x, anywhere), without));
    }
}

TEMPLATE_TEST_CASE(
    "an output is one chain of multiply-adds over the inputs, however weights are stored", "",
    HEED_TEST_SCALARS, Eigen::bfloat16, Eigen::half) {
    using T = heed::computed_scalar<TestType>;
    heed_test::generator random;
    for (const auto& [outputs, inputs] :
         {std::pair<Eigen::Index, Eigen::Index>{1, 1}, {33, 5}, {130, 97}, {7, 601}}) {
        const row_major<T> weight = random.matrix<T>(outputs, inputs);
        check_chains<TestType, T>(weight.template cast<TestType>(), random);
    }
}

TEST_CASE("weights that are rounded while they are packed are those that were rounded before") {
    heed_test::generator random;
    const row_major<float> weight = random.matrix<float>(33, 97), x = random.matrix<float>(3, 97);
    const row_major<Eigen::bfloat16> rounded = weight.cast<Eigen::bfloat16>();
    CHECK(same_bits(heed::project(x, heed::packed_weights<Eigen::bfloat16>(weight)),
                    heed::project(x, heed::weights(rounded))));
}

TEST_CASE("integers with scales: what is rounded, and how it is multiplied") {
    heed_test::generator random;
    for (const auto& [outputs, inputs] :
         {std::pair<Eigen::Index, Eigen::Index>{1, 1}, {37, 19}, {70, 300}}) {
        row_major<float> weight = random.matrix<float>(outputs, inputs);
        weight.row(outputs / 2).setZero();
        weight(0, inputs - 1) =
            -1e-39F;  // below the normal numbers, where it is the row's only one
        const vector<float> bias = random.matrix<float>(outputs, 1);
        // By the definition, in double.
        row_major<std::int8_t> integers(outputs, inputs);
        vector<float> scales(outputs);
        for (Eigen::Index o = 0; o < outputs; ++o) {
            double greatest = 0;
            for (Eigen::Index k = 0; k < inputs; ++k)
                greatest = std::fmax(greatest, std::fabs(double(weight(o, k))));
            scales(o) = static_cast<float>(greatest / 127);
            for (Eigen::Index k = 0; k < inputs; ++k)
                integers(o, k) = static_cast<std::int8_t>(
                    greatest > 0 ? std::nearbyint(double(weight(o, k)) * (127 / greatest)) : 0);
        }
        const heed::packed_weights<std::int8_t> rounded(weight, bias), bare(weight);
        const heed::packed_weights<std::int8_t> given(integers, scales, bias);
        const heed::packed_weights<std::int8_t> given_bare(integers, scales);
        for (const Eigen::Index rows : {1, 2, 3, 5, 14}) {
            const row_major<float> x = random.matrix<float>(rows, inputs);
            const auto with_bias = chain<float>(x, integers, &scales, &bias);
            const auto without = chain<float>(x, integers, &scales, nullptr);
            CHECK(same_bits(heed::project(x, rounded), with_bias));
            CHECK(same_bits(heed::project(x, given), with_bias));
            CHECK(same_bits(heed::project(x, heed::weights(integers, scales, bias)), with_bias));
            CHECK(same_bits(heed::project(x, bare), without));
            CHECK(same_bits(heed::project(x, given_bare), without));
            CHECK(same_bits(heed::project(x, heed::weights(integers, scales)), without));
        }
        // Half a step at most from each weight.
        const row_major<float> unit = row_major<float>::Identity(inputs, inputs);
        const row_major<float> stored = heed::project(unit, bare);
        bool near = true;
        for (Eigen::Index o = 0; o < outputs; ++o)
            for (Eigen::Index k = 0; k < inputs; ++k)
                near &= std::abs(stored(k, o) - weight(o, k)) <= 0.5001F * scales(o) + 1e-44F;
        CHECK(near);
    }
}

TEST_CASE("weights of nothing, and nothing of weights") {
    heed_test::generator random;
    const vector<float> bias = random.matrix<float>(37, 1);
    const row_major<float> no_inputs(37, 0), no_outputs(0, 5);
    for (const Eigen::Index rows : {0, 1, 7}) {
        const row_major<float> empty(rows, 0);
        const row_major<float> y =
            heed::project(empty, heed::packed_weights<float>(no_inputs, bias));
        CHECK(same_bits(y, bias.transpose().replicate(rows, 1)));
        CHECK(same_bits(heed::project(empty, heed::weights(no_inputs)),
                        row_major<float>::Zero(rows, 37)));
        const row_major<float> x = random.matrix<float>(rows, 5);
        CHECK(heed::project(x, heed::packed_weights<float>(no_outputs)).size() == 0);
        CHECK(heed::project(x, heed::weights(no_outputs)).rows() == rows);
    }
}

TEST_CASE("a copy of packed weights outlives what it was made of") {
    heed_test::generator random;
    const row_major<float> x = random.matrix<float>(2, 30);
    row_major<float> weight = random.matrix<float>(20, 30), y;
    heed::packed_weights<float> kept(random.matrix<float>(1, 1));
    {
        const heed::packed_weights<float> packed(weight, std::vector<float>(20, 1.0F));
        y = heed::project(x, packed);
        kept = packed;
    }
    weight.setZero();
    CHECK(same_bits(heed::project(x, kept), y));
    CHECK(kept.outputs() == 20);
    CHECK(kept.inputs() == 30);
    CHECK(kept.has_bias());
    CHECK(kept.bytes() >= 20 * 30 * sizeof(float));
    // A temporary is kept, an lvalue is seen.
    const auto owned = heed::weights(row_major<float>(weight));
    const auto seen = heed::weights(weight);
    weight.setOnes();
    CHECK(heed::project(x, owned).isZero());
    CHECK_FALSE(heed::project(x, seen).isZero());
}

}  // namespace test_projection
