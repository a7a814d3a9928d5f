#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include "golden.hpp"
#include "support/catch.hpp"

/// \file
/// Results against a golden array.

namespace golden {

/// All numbers are as many as expected, and within `error` of them, relative to the largest.
template <class X>
void check_numbers(const std::string& label, const X& found, const array& expected, double error) {
    INFO(label);
    REQUIRE(static_cast<std::size_t>(found.size()) == expected.values.size());
    double worst = 0, largest = 0;
    for (std::size_t e = 0; e < expected.values.size(); ++e) {
        const auto number = static_cast<double>(found.data()[e]);
        worst = std::fmax(worst, std::fabs(number - expected.values[e]));
        largest = std::fmax(largest, std::fabs(expected.values[e]));
    }
    CHECK(worst <= error * largest);
}

}  // namespace golden
