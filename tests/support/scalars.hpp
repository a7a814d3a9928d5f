#pragma once

#include <type_traits>

#include "support/catch.hpp"

/// \file
/// The scalars that the tests of this build are made for.

namespace heed_test {

template <class... Scalars>
struct scalar_list {
    template <class T>
    static constexpr bool has = (std::is_same_v<T, Scalars> || ...);
};

/// Whether T is one of HEED_TEST_SCALARS: what several tests share leaves out the checks in others,
/// and the gradients by differences, which are of double, with them.
template <class T>
inline constexpr bool is_tested = scalar_list<HEED_TEST_SCALARS>::template has<T>;

}  // namespace heed_test
