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
struct dropout {};            ///< which probabilities are left out of o, at random
struct position_encoding {};  ///< what happens to q and k before their product
struct positions {};          ///< where queries and keys stand, if not one after the other
struct input_bias {};         ///< what is added to q and to k before everything else
struct threads {};            ///< on whose threads to run
struct memory {};             ///< in whose scratch memory
struct observer {};           ///< a statistic of each row, beside the output
struct lse_gradient {};       ///< backward only: the gradient of the rows' log-sum-exp
struct wanted_gradients {};   ///< backward only: which of dq, dk and dv to compute
}  // namespace role

template <class P>
using role_of = typename std::remove_cvref_t<P>::role;

template <class P>
concept part = requires {
    typename role_of<P>;
};

template <class P, class Role>
concept part_of = part<P> && std::same_as<role_of<P>, Role>;

namespace detail {

/// On whose threads and in whose memory a call runs: such a part says nothing of what it computes.
template <class P>
concept resource_part = part_of<P, role::threads> || part_of<P, role::memory>;

/// What any other part may leave out. It derives from its role's base, which derives from this.
template <class Role>
struct part_base {
    using role = Role;

    /// Whether it is told, or tells, how many keys each row sees.
    static constexpr bool needs_visible_count = false;

    /// Throws shape_error or argument_error where it does not suit a call of this attention_shape.
    template <class Shape>
    void check(const Shape&) const {}

    /// see(name, view) for each tensor of the caller's that it reads: no output may lie there.
    template <class See>
    void inputs(const See&) const {}
};

}  // namespace detail

/// The base of a normaliser: attention/part.hpp tells what it has.
struct normaliser_base : detail::part_base<role::normaliser> {};

}  // namespace heed::inline HEED_ARCHITECTURE
