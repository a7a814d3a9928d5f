#pragma once

#include <array>
#include <cmath>
#include <type_traits>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/distributed/kernel/state_composition.hpp>
#include <heed/linear/linear_state.hpp>

/// \file
/// States of linear attention of consecutive pieces of a sequence become that of all of it.

namespace heed::inline HEED_ARCHITECTURE {

/// `state`, of what came before, becomes the state behind a later piece too, whose own state began
/// empty: S + S_later and Z + Z_later, of features relative to the larger of their references. So
/// pieces may be read side by side, on several machines, and what comes behind goes on from all:
///
///     heed::linear_state<float> state, later;      // of tokens 0 … m − 1, and m … n − 1
///     …
///     heed::compose(state, later);                 // of tokens 0 … n − 1
///
/// Any number of pieces, in their order; associative, to rounding: in double, and once to the
/// state's two numbers a sum. Not the bits of one walk. The grid has a line behind the later piece,
/// and nothing before it can be taken back. Where the later piece began a new document, its own
/// state is that of all. O(batch·heads·features·d_v).
///
/// An empty later state changes nothing. shape_error for states of other shapes; argument_error for
/// states of calls with other parts, of features that depend on where a token stands (a rotary
/// encoding, cosformer), of updates, whose pieces multiply what came before by a matrix from
/// the right, or with decays, for which there is the form below.
template <class Scalar>
void compose(linear_state<Scalar>& state, const linear_state<Scalar>& later) {
    const detail::state_composition<Scalar> two(state, later);
    two.check();
    detail::require_argument(!two.has_decays(),
                             "heed::compose: states with decays need the sum of the logarithms of "
                             "the later piece's: heed::compose(state, later, log_decays)");
    if (later.empty()) return;
    two.compose([](index, index) { return 0.0; });
}

/// The same with decays: e^g·S + S_later, g [batch, heads of the state] the sum of log α over the
/// tokens of the later piece (tokens·log γ for heed::decay). −∞ forgets what came before. Besides,
/// shape_error for g of another shape, argument_error for one above 0, and for states without
/// decays.
template <class Scalar, tensor_like LogDecays>
void compose(linear_state<Scalar>& state, const linear_state<Scalar>& later,
             const LogDecays& log_decays) {
    constexpr bool two_axes = rank_of<LogDecays> == 2;
    static_assert(two_axes, "heed: the log decays of a piece are [batch, heads]");
    if constexpr (two_axes) {
        const detail::state_composition<Scalar> two(state, later);
        two.check();
        detail::require_argument(two.may_have_decays(),
                                 "heed::compose was given log decays, but the states are of calls "
                                 "without decays");
        const auto held = detail::evaluate("the log decays", log_decays);
        const auto given = held.view();
        const std::array<index, 2> expected = two.heads();
        const bool nothing_known = state.empty() && later.empty();
        detail::require_shape(nothing_known || given.extents == expected,
                              "the log decays have shape ", given.extents, ", but must have ",
                              expected, ": [batch, heads]");
        for (index b = 0; b < given.extents[0]; ++b)
            for (index h = 0; h < given.extents[1]; ++h)
                detail::require_argument(given(b, h) <= 0, "the log decay of sequence ", b,
                                         ", head ", h, " is ", static_cast<double>(given(b, h)),
                                         ", but must be at most 0");
        if (later.empty()) return;
        two.compose([&](index b, index h) { return static_cast<double>(given(b, h)); });
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
