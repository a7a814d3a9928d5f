#include <Eigen/Core>

#include <heed/measure/entropy.hpp>
#include <heed/softmax/softmax.hpp>

#include "rows/stored_rows.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// \file
/// Measures of rows of 16-bit numbers.

namespace test_measure_storage {

using namespace heed_test;

TEMPLATE_TEST_CASE("the entropy of 16-bit rows is that of their floats, rounded once", "",
                   HEED_TEST_STORAGES) {
    generator random(9801);
    for_each_layout<TestType>(random, [](const auto& x, const auto&) {
        const auto p = heed::softmax(x);
        CHECK(is_rounded(heed::measure::shannon_entropy(p),
                         heed::measure::shannon_entropy(widened(p))));
    });
}

}  // namespace test_measure_storage
