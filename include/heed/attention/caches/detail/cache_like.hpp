#pragma once

#include <type_traits>

#include <heed/core/architecture.hpp>

/// \file
/// What tells a cache from a tensor.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class X>
concept cache_like = requires {
    typename std::remove_cvref_t<X>::cached_scalar;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
