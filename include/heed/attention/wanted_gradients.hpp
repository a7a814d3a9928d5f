#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>

/// \file
/// Which of the gradients of q, k and v backward computes.

namespace heed::inline HEED_ARCHITECTURE {

/// Of which inputs gradients are wanted.
struct gradient_choice {
    bool q = true, k = true, v = true;
};

/// The type of heed::wanted_gradients(…).
struct wanted_gradients_part : detail::part_base<role::wanted_gradients> {
    gradient_choice wanted;
};

/// A part of attention_backward: which of dq, dk and dv it computes; all without it. What is not
/// wanted costs no product: dq, dk and dv are one of five each. Its object in the result is empty;
/// one of the caller's is left as it is, whatever its shape. The others have the bits that they
/// have without this part, and so has what is learned.
///
///     auto grad = heed::attention_backward(d_o, o, stats, q, k, v, heed::causal,
///                                          heed::wanted_gradients({.k = false, .v = false}));
inline auto wanted_gradients(const gradient_choice& wanted) {
    return wanted_gradients_part{{}, wanted};
}

}  // namespace heed::inline HEED_ARCHITECTURE
