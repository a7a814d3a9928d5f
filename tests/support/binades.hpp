#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include <heed/core/simd.hpp>

#include "catch.hpp"
#include "random.hpp"

/// \file
/// The largest errors of functions of vectors, over every binade.

namespace heed_test {

template <class T>
using vec = heed::vec<T>;
template <class T>
using limits = std::numeric_limits<T>;
/// The type of reference values: its functions' errors are far below an ulp of T.
template <class T>
using wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

/// A value, and the size that its error is measured by, where terms of that size cancel.
template <class Real>
struct sized {
    Real value, size;
};

/// |result − exact| in units of the last place of `size`, as T holds it. An infinite result counts
/// as the first number beyond T's range.
template <class T>
double ulps(T result, sized<wide<T>> exact) {
    if (std::isnan(result) || std::isnan(exact.value)) {
        return std::isnan(result) && std::isnan(exact.value) ? 0 : limits<double>::infinity();
    }
    const wide<T> beyond = std::ldexp(wide<T>(1), limits<T>::max_exponent);
    const wide<T> bounded = std::clamp(exact.value, -beyond, beyond);
    const wide<T> size = std::clamp(exact.size, -beyond, beyond);
    const wide<T> given = std::clamp(static_cast<wide<T>>(result), -beyond, beyond);
    const int exponent = size == 0 ? limits<T>::min_exponent : std::ilogb(size) + 1;
    const int last_place =
        std::clamp(exponent, limits<T>::min_exponent, limits<T>::max_exponent) - limits<T>::digits;
    return static_cast<double>(std::ldexp(std::abs(given - bounded), -last_place));
}
/// The same of the exact value itself.
template <class T>
double ulps(T result, wide<T> exact) {
    return ulps<T>(result, sized<wide<T>>{exact, exact});
}

struct worst_case {
    double error = 0;
    double at = 0;
};

/// The largest error over `samples` numbers of every binade of [low, high], both ends included,
/// denormal binades too.
template <class T, class F, class Exact>
worst_case largest_error(F f, Exact exact, int samples, T low = -limits<T>::infinity(),
                         T high = limits<T>::infinity()) {
    constexpr auto size = static_cast<std::size_t>(vec<T>::size);
    std::array<T, size> x{}, y{};
    std::size_t filled = 0;
    worst_case worst;
    const auto flush = [&] {
        f(vec<T>::load(x.data())).store(y.data());
        for (std::size_t l = 0; l < filled; ++l) {
            const double error = ulps<T>(y[l], exact(static_cast<wide<T>>(x[l])));
            if (error > worst.error) worst = {error, static_cast<double>(x[l])};
        }
        filled = 0;
    };
    const auto add = [&](T value) {
        if (!(value >= low && value <= high)) return;
        x[filled++] = value;
        if (filled == size) flush();
    };
    heed_test::generator random;
    for (int e = limits<T>::min_exponent - limits<T>::digits; e < limits<T>::max_exponent; ++e) {
        add(std::ldexp(T(1), e));
        add(-std::ldexp(T(1), e));
        for (int s = 0; s < samples; ++s) {
            const T value = std::ldexp(static_cast<T>(1 + (s + random.uniform()) / samples), e);
            add(value);
            add(-value);
        }
    }
    flush();
    return worst;
}

/// The same on a grid of an interval.
template <class T, class F, class Exact>
worst_case largest_error_within(F f, Exact exact, T low, T high, int samples) {
    worst_case worst;
    heed_test::generator random;
    std::array<T, static_cast<std::size_t>(vec<T>::size)> y{};
    for (int s = 0; s < samples; ++s) {
        const T x = low + (high - low) * static_cast<T>((s + random.uniform()) / samples);
        f(vec<T>(x)).store(y.data());
        const double error = ulps<T>(y[0], exact(static_cast<wide<T>>(x)));
        if (error > worst.error) worst = {error, static_cast<double>(x)};
    }
    return worst;
}

template <class T>
constexpr int samples_a_binade = std::is_same_v<T, float> ? 1 << 14 : 1 << 9;

#define REQUIRE_WITHIN(worst, bound)                                    \
    do {                                                                \
        const heed_test::worst_case found = worst;                      \
        INFO("largest error " << found.error << " at " << found.at);    \
        if (std::getenv("HEED_TEST_PRINT_ERRORS") != nullptr) {         \
            WARN(#worst ": " << found.error << " ulp at " << found.at); \
        }                                                               \
        REQUIRE(found.error <= bound);                                  \
    } while (false)

template <class T, class F>
T at(F f, T x) {
    std::array<T, static_cast<std::size_t>(vec<T>::size)> y{};
    f(vec<T>(x)).store(y.data());
    return y[0];
}

}  // namespace heed_test
