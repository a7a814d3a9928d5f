#pragma once

/// \file
/// Catch2, version 2 or 3: tests include this file and use what both have.

/// What templated tests are instantiated for: all scalars, or what the build option
/// HEED_TEST_SCALARS says. tests/core is not asked: vectors of every scalar are tested in every
/// build.
#if !defined(HEED_TEST_SCALARS)
#define HEED_TEST_SCALARS float, double
#endif

#if __has_include(<catch2/catch_all.hpp>)

#include <string>

#include <catch2/catch_all.hpp>

using Catch::Approx;

namespace Catch::Matchers {

/// Version 2's names for a part of a text, which version 3 gives to ranges.
inline StringContainsMatcher Contains(const std::string& text) { return ContainsSubstring(text); }
inline StringContainsMatcher Contains(std::string&& text) { return ContainsSubstring(text); }
inline StringContainsMatcher Contains(const char* text) { return ContainsSubstring(text); }

}  // namespace Catch::Matchers

#else

#include <catch2/catch.hpp>

#endif
