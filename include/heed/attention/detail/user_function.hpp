#pragma once

#include <functional>
#include <type_traits>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>

/// \file
/// How a user's function of a score's place is called, whichever arguments it takes.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Whether f takes (leading…, i, j), and (leading…, batch, head, i, j); I is the type of i and j.
template <class F, class I, class... Leading>
concept takes_positions = std::is_invocable_v<const F&, Leading..., I, I>;
template <class F, class I, class... Leading>
concept takes_row_and_positions = std::is_invocable_v<const F&, Leading..., index, index, I, I>;

/// Whether f can be called by call_with_place with these arguments.
template <class F, class I, class... Leading>
concept takes_place = takes_positions<F, I, Leading...> ||
    takes_row_and_positions<F, I, Leading...> ||
    (sizeof...(Leading) > 0 && std::is_invocable_v<const F&, Leading...>);

/// f(leading…), f(leading…, i, j) or f(leading…, batch, head, i, j): the first that f takes.
template <class F, class I, class... Leading>
requires takes_place<F, I, Leading...>
decltype(auto) call_with_place(const F& f, const query_row& row, I i, I j, Leading... leading) {
    if constexpr (takes_positions<F, I, Leading...>)
        return std::invoke(f, leading..., i, j);
    else if constexpr (takes_row_and_positions<F, I, Leading...>)
        return std::invoke(f, leading..., row.batch, row.head, i, j);
    else
        return std::invoke(f, leading...);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
