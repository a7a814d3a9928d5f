#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <heed/core/math.hpp>

#include "support/binades.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace test_math {

using heed_test::at;
using heed_test::largest_error;
using heed_test::largest_error_within;
using heed_test::limits;
using heed_test::samples_a_binade;
using heed_test::vec;

// Functions as values, for the helpers above.
const auto vector_exp2 = [](auto x) { return heed::exp2(x); };
const auto vector_exp2_fast = [](auto x) { return heed::detail::exp2_fast(x); };
const auto vector_exp = [](auto x) { return heed::exp(x); };
const auto vector_expm1 = [](auto x) { return heed::expm1(x); };
const auto vector_log = [](auto x) { return heed::log(x); };
const auto vector_log1p = [](auto x) { return heed::log1p(x); };
const auto vector_tanh = [](auto x) { return heed::tanh(x); };
const auto exact_exp2 = [](auto x) { return std::exp2(x); };
const auto exact_exp = [](auto x) { return std::exp(x); };
const auto exact_expm1 = [](auto x) { return std::expm1(x); };
const auto exact_log = [](auto x) { return std::log(x); };
const auto exact_log1p = [](auto x) { return std::log1p(x); };
const auto exact_tanh = [](auto x) { return std::tanh(x); };

constexpr double exp2_bound = heed::detail::has_fma ? 1 : 1.25;

TEMPLATE_TEST_CASE("the elementary functions are accurate in every binade", "", float, double) {
    using T = TestType;
    constexpr int samples = samples_a_binade<T>;
    REQUIRE_WITHIN(largest_error<T>(vector_exp2, exact_exp2, samples), exp2_bound);
    REQUIRE_WITHIN(largest_error<T>(vector_exp, exact_exp, samples), 1);
    REQUIRE_WITHIN(largest_error<T>(vector_expm1, exact_expm1, samples), 2);
    REQUIRE_WITHIN(largest_error<T>(vector_log, exact_log, samples), 2);
    REQUIRE_WITHIN(largest_error<T>(vector_log1p, exact_log1p, samples), 2);
    REQUIRE_WITHIN(largest_error<T>(vector_tanh, exact_tanh, samples), 2);
}

TEMPLATE_TEST_CASE("the elementary functions are accurate where it is hard", "", float, double) {
    using T = TestType;
    constexpr int samples = 1 << 19;
    const T least = static_cast<T>(limits<T>::min_exponent);
    const T digits = static_cast<T>(limits<T>::digits);
    const T most = static_cast<T>(limits<T>::max_exponent);
    const T log2 = std::log(T(2));
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp2, exact_exp2, -4, 4, samples), exp2_bound);
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp, exact_exp, -4, 4, samples), 1);
    // Results that are denormal, and those about to overflow.
    REQUIRE_WITHIN(
        largest_error_within<T>(vector_exp2, exact_exp2, least - digits - 2, least, samples),
        exp2_bound);
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp2, exact_exp2, most - 2, most + 2, samples),
                   exp2_bound);
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp, exact_exp, log2 * (least - digits - 2),
                                           log2 * least, samples),
                   1);
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp, exact_exp, log2 * (most - 2),
                                           log2 * (most + 2), samples),
                   1);
    REQUIRE_WITHIN(largest_error_within<T>(vector_expm1, exact_expm1, -2, 2, samples), 2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_expm1, exact_expm1, log2 * (most - 2),
                                           log2 * (most + 2), samples),
                   2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_log, exact_log, T(0.25), T(4), samples), 2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_log, exact_log, T(0.99), T(1.01), samples), 2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_log1p, exact_log1p, T(-0.75), T(3), samples), 2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_tanh, exact_tanh, -2, 2, samples), 2);
}

TEMPLATE_TEST_CASE("the kernels' own exp2 is within 2 ulp", "", float, double) {
    using T = TestType;
    const T least = static_cast<T>(limits<T>::min_exponent - 1);  // 2^least is the least normal
    const T most = static_cast<T>(limits<T>::max_exponent - 1);
    REQUIRE_WITHIN(largest_error<T>(vector_exp2_fast, exact_exp2, samples_a_binade<T>, least, most),
                   2);
    REQUIRE_WITHIN(largest_error_within<T>(vector_exp2_fast, exact_exp2, -2, 2, 1 << 20), 2);
    // A result below the normal numbers is theirs or zero: where denormal weights were, Intel's
    // processors would take an assist for each multiply-add.
    for (T x = least - 1; x > -2000; x -= T(0.37)) {
        const T y = at(vector_exp2_fast, x);
        REQUIRE((y == 0 || y == limits<T>::min()));
    }
}

TEMPLATE_TEST_CASE("values that must be exact are exact", "", float, double) {
    using T = TestType;
    constexpr T infinity = limits<T>::infinity();
    for (int n = limits<T>::min_exponent - limits<T>::digits; n < limits<T>::max_exponent; ++n) {
        REQUIRE(at(vector_exp2, static_cast<T>(n)) == std::ldexp(T(1), n));
        if (n < limits<T>::min_exponent - 1) continue;
        REQUIRE(at(vector_exp2_fast, static_cast<T>(n)) == std::ldexp(T(1), n));
    }
    REQUIRE(at(vector_exp2, -infinity) == 0);
    REQUIRE(at(vector_exp2, infinity) == infinity);
    REQUIRE(at(vector_exp2_fast, -infinity) == 0);
    REQUIRE(at(vector_exp2_fast, infinity) == infinity);
    REQUIRE(at(vector_exp2_fast, limits<T>::lowest()) == 0);
    REQUIRE(at(vector_exp, T(0)) == 1);
    REQUIRE(at(vector_exp, -infinity) == 0);
    REQUIRE(at(vector_exp, infinity) == infinity);
    REQUIRE(at(vector_exp, limits<T>::lowest()) == 0);
    REQUIRE(at(vector_exp, limits<T>::max()) == infinity);
    REQUIRE(at(vector_expm1, T(0)) == 0);
    REQUIRE(at(vector_expm1, -infinity) == -1);
    REQUIRE(at(vector_expm1, infinity) == infinity);
    REQUIRE(at(vector_log, T(1)) == 0);
    REQUIRE(at(vector_log, T(0)) == -infinity);
    REQUIRE(at(vector_log, T(-0.0)) == -infinity);
    REQUIRE(at(vector_log, infinity) == infinity);
    REQUIRE(at(vector_log1p, T(0)) == 0);
    REQUIRE(at(vector_log1p, T(-1)) == -infinity);
    REQUIRE(at(vector_log1p, infinity) == infinity);
    REQUIRE(at(vector_tanh, T(0)) == 0);
    REQUIRE(at(vector_tanh, infinity) == 1);
    REQUIRE(at(vector_tanh, -infinity) == -1);
    for (const T x : {T(-1), -infinity, -limits<T>::min(), -limits<T>::denorm_min()}) {
        REQUIRE(std::isnan(at(vector_log, x)));
    }
    REQUIRE(std::isnan(at(vector_log1p, T(-1.5))));
}

TEMPLATE_TEST_CASE("NaN stays NaN, whatever its sign and payload", "", float, double) {
    using T = TestType;
    using bits = heed::detail::bits_of<T>;
    const bits quiet = std::bit_cast<bits>(limits<T>::quiet_NaN());
    for (const bits payload : {bits(0), bits(1), bits(0x155), bits(0x1ff)}) {
        for (const bits sign : {bits(0), limits<bits>::min()}) {
            const T nan = std::bit_cast<T>(quiet | payload | sign);
            REQUIRE(std::isnan(at(vector_exp2, nan)));
            REQUIRE(std::isnan(at(vector_exp2_fast, nan)));
            REQUIRE(std::isnan(at(vector_exp, nan)));
            REQUIRE(std::isnan(at(vector_expm1, nan)));
            REQUIRE(std::isnan(at(vector_log, nan)));
            REQUIRE(std::isnan(at(vector_log1p, nan)));
            REQUIRE(std::isnan(at(vector_tanh, nan)));
        }
    }
}

TEMPLATE_TEST_CASE("a lane's result depends on that lane alone", "", float, double) {
    using T = TestType;
    constexpr auto size = static_cast<std::size_t>(vec<T>::size);
    heed_test::generator random;
    const auto check = [&](auto f) {
        for (int repeat = 0; repeat < 2000; ++repeat) {
            std::array<T, size> x{}, y{};
            for (T& value : x) {
                value = random.one_of<T>({static_cast<T>(random.normal(3)), T(0), limits<T>::max(),
                                          limits<T>::quiet_NaN(), limits<T>::infinity(),
                                          static_cast<T>(random.normal(100)), limits<T>::min()});
            }
            f(vec<T>::load(x.data())).store(y.data());
            for (std::size_t l = 0; l < size; ++l) {
                const T alone = at(f, x[l]);
                REQUIRE((alone == y[l] || (std::isnan(alone) && std::isnan(y[l]))));
            }
        }
    };
    check(vector_exp2);
    check(vector_exp2_fast);
    check(vector_exp);
    check(vector_expm1);
    check(vector_log);
    check(vector_log1p);
    check(vector_tanh);
}

}  // namespace test_math
