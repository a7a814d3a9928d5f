#pragma once

#include <cstddef>
#include <limits>

#include <heed/core/view.hpp>
#include <heed/rope/frequencies.hpp>

#include "reference/rope.hpp"
#include "reference/tensor.hpp"

/// \file
/// What the tests of rotary positions share: from heed's values to the reference's.

namespace rope_test {

using heed::index;

/// Anything with a shape as the reference's [batch, head, sequence, dim].
template <class X>
reference::tensor to_reference(const X& x) {
    const auto held = heed::detail::evaluate(x);
    const auto all = heed::detail::rank4(held.view());
    reference::tensor result(all.extents[0], all.extents[1], all.extents[2], all.extents[3]);
    for (index b = 0; b < all.extents[0]; ++b)
        for (index h = 0; h < all.extents[1]; ++h)
            for (index i = 0; i < all.extents[2]; ++i)
                for (index c = 0; c < all.extents[3]; ++c)
                    result(b, h, i, c) = static_cast<double>(all(b, h, i, c));
    return result;
}

inline reference::rotation to_reference(const heed::rope::frequencies& rope) {
    return {rope.angular(), rope.layout() == heed::rope::interleaved, rope.attention_factor()};
}

inline double row(index, index i) { return static_cast<double>(i); }

/// Each number rotated is a sum of two products, with cosines and sines within 2 ulp.
template <class T>
double tolerance(const reference::tensor& x) {
    return 8 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
           (reference::largest_magnitude(x) + std::numeric_limits<T>::min());
}

}  // namespace rope_test
