#pragma once

#include <concepts>
#include <type_traits>

#include <heed/core/architecture.hpp>

/// \file
/// The roles of parts: a part says by its member type `role` what it is for.

namespace heed::inline HEED_ARCHITECTURE {

/// What a part is for. A call takes any number of masks and modifiers, and at most one part of
/// each other role.
namespace role {
struct scale {};              ///< c_i in c_i·(q_i·k_j); may also l2-normalise q or k
struct mask {};               ///< which keys a query sees
struct modifier {};           ///< what becomes of a score before the mask
struct normaliser {};         ///< from a row of scores to probabilities
struct position_encoding {};  ///< what happens to q and k before their product
struct positions {};          ///< where queries and keys stand, if not one after the other
struct input_bias {};         ///< what is added to q and to k before everything else
struct threads {};            ///< on whose threads to run
struct memory {};             ///< in whose scratch memory
struct observer {};           ///< a statistic of each row, beside the output
struct lse_gradient {};       ///< backward only: the gradient of the rows' log-sum-exp
}  // namespace role

template <class P>
using role_of = typename std::remove_cvref_t<P>::role;

template <class P>
concept part = requires {
    typename role_of<P>;
};

template <class P, class Role>
concept part_of = part<P> && std::same_as<role_of<P>, Role>;

}  // namespace heed::inline HEED_ARCHITECTURE
