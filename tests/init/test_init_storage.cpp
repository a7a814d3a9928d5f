#include <type_traits>

#include <Eigen/Core>

#include <heed/core/error.hpp>
#include <heed/init/activations/gelu.hpp>
#include <heed/init/activations/swiglu.hpp>
#include <heed/init/layer_norm.hpp>
#include <heed/init/re_zero.hpp>
#include <heed/init/rms_norm.hpp>

#include "rows/stored_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// \file
/// Norms and activations on rows of 16-bit numbers.

namespace test_init_storage {

using namespace heed_test;

TEMPLATE_TEST_CASE("norms of 16-bit rows have the bits of their floats, rounded once", "",
                   HEED_TEST_STORAGES) {
    generator random(9601);
    for_each_layout<TestType>(random, [&](const auto& x, const auto& dy) {
        const auto gamma = stored_matrix<TestType, 0>(random, x.cols(), 1);
        const auto beta = stored_matrix<TestType, 0>(random, x.cols(), 1);
        const auto norm = heed::layer_norm(gamma, beta);
        const auto wide_norm = heed::layer_norm(widened(gamma), widened(beta));
        CHECK(is_rounded(norm(x), wide_norm(widened(x))));
        const auto [dx, d_gamma, d_beta] = norm.backward(x, dy);
        const auto wide = wide_norm.backward(widened(x), widened(dy));
        CHECK(is_rounded(dx, wide.x));
        // What parameters learn comes from many rows, and stays a float.
        CHECK(d_gamma == wide.gamma);
        CHECK(d_beta == wide.beta);

        const auto rms = heed::rms_norm(widened(gamma));  // parameters may be floats
        CHECK(is_rounded(rms(x), rms(widened(x))));
        CHECK(is_rounded(rms.backward(x, dy).x, rms.backward(widened(x), widened(dy)).x));
    });
}

TEMPLATE_TEST_CASE("activations of 16-bit numbers have the bits of their floats, rounded once", "",
                   HEED_TEST_STORAGES) {
    generator random(9602);
    for_each_layout<TestType>(random, [&](const auto& x, const auto& dy) {
        CHECK(is_rounded(heed::gelu(x), heed::gelu(widened(x))));
        CHECK(is_rounded(heed::gelu.backward(x, dy), heed::gelu.backward(widened(x), widened(dy))));
        CHECK(is_rounded(heed::swiglu(x, dy), heed::swiglu(widened(x), widened(dy))));
        const auto gradient = heed::swiglu.backward(x, dy, x);
        const auto wide = heed::swiglu.backward(widened(x), widened(dy), widened(x));
        CHECK(is_rounded(gradient.a, wide.a));
        CHECK(is_rounded(gradient.b, wide.b));
    });
}

TEST_CASE("re_zero of 16-bit rows: d_alpha is a float") {
    generator random(9603);
    for_each_layout<Eigen::bfloat16>(random, [&](const auto& x, const auto& f) {
        const heed::re_zero block(0.3);
        CHECK(is_rounded(block(x, f), block(widened(x), widened(f))));
        const auto gradient = block.backward(f, x);
        const auto wide = block.backward(widened(f), widened(x));
        CHECK(is_rounded(gradient.branch, wide.branch));
        static_assert(std::is_same_v<decltype(gradient.alpha), float>);
        CHECK(gradient.alpha == wide.alpha);
    });
}

TEST_CASE("norms of 16-bit rows refuse what others refuse") {
    generator random(9604);
    const auto x = stored_matrix<Eigen::half, Eigen::RowMajor>(random, 3, 8);
    const auto gamma = stored_matrix<Eigen::half, 0>(random, 7, 1);
    CHECK_THROWS_AS(heed::rms_norm(gamma)(x), heed::shape_error);
}

}  // namespace test_init_storage
