#include <cmath>
#include <limits>
#include <vector>

#include <heed/core/length.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_length {

using heed::vec;
using heed::detail::is_exact_square_sum;
using heed::detail::scaled_length_of;
using heed::detail::unit_scale;

TEMPLATE_TEST_CASE("a length is right at every size of its numbers", "", float, double) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    heed_test::generator random;
    for (const std::size_t count : {1U, 3U, 16U, 33U, 200U}) {
        bool close = true;
        for (int e = limits::min_exponent - limits::digits; e < limits::max_exponent - 3; ++e) {
            std::vector<T> x(count);
            for (T& one : x) one = static_cast<T>(std::ldexp(random.uniform(-4, 4), e));
            x[count / 2] = static_cast<T>(std::ldexp(4.0, e));  // not all of them are 0
            long double sum = 0;
            for (const T one : x) {
                const long double u = std::ldexp(static_cast<long double>(one), -e);
                sum += u * u;
            }
            const auto [scale, length] = scaled_length_of(x.data(), heed::index(count));
            const long double found =
                std::ldexp(static_cast<long double>(length), -e) / static_cast<long double>(scale);
            close &= std::abs(found / std::sqrt(sum) - 1) <= 8 * limits::epsilon();
        }
        CHECK(close);
    }
    const std::vector<T> zeros(7);
    CHECK(scaled_length_of(zeros.data(), 7).length == 0);
    CHECK(scaled_length_of(zeros.data(), 0).length == 0);
}

TEMPLATE_TEST_CASE("a unit's scale is a power of two between the ends of the normal numbers", "",
                   float, double) {
    using T = TestType;
    using limits = std::numeric_limits<T>;
    const auto scale = [](T x) { return heed::reduce_max(unit_scale(vec<T>(x))); };
    const T lowest = limits::min(), highest = 1 / limits::min();
    for (T x = lowest; x < highest; x *= T(1.37)) {
        int exponent = 0;
        CHECK(std::frexp(scale(x), &exponent) == T(0.5));
        const T unit = x * scale(x);
        CHECK((unit >= 1 && unit < 2));
    }
    for (const T x : {T(0), limits::denorm_min(), lowest}) CHECK(scale(x) == highest);
    for (const T x : {limits::max(), limits::infinity()}) CHECK(scale(x) == lowest);
}

TEST_CASE("sums of squares are exact where none was lost") {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    for (const double sum : {1e-23, 1.0, 3e38}) CHECK(is_exact_square_sum<float>(sum));
    for (const double sum : {0.0, 1e-26, 1e39, infinity, std::nan("")})
        CHECK_FALSE(is_exact_square_sum<float>(sum));
    for (const double sum : {1e-270, 1.0, 1e308}) CHECK(is_exact_square_sum<double>(sum));
    for (const double sum : {0.0, 1e-280, infinity, std::nan("")})
        CHECK_FALSE(is_exact_square_sum<double>(sum));
}

}  // namespace test_length
