#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// What a view covers of memory, whatever its scalar and its rank: so that checks are compiled
/// once.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// How many axes anything may have.
inline constexpr int most_axes = 16;

/// A view without its type. Its extents and strides are those of the view it was made of, which
/// must outlive it.
struct memory_span {
    const void* data;
    index element;  ///< bytes of an element
    std::span<const index> extents;
    std::span<const index> strides;  ///< in elements

    template <class T, int Rank>
    memory_span(const tensor_view<T, Rank>& view)
        : data(view.data),
          element(static_cast<index>(sizeof(T))),
          extents(view.extents),
          strides(view.strides) {
        static_assert(Rank <= most_axes, "heed: a tensor may have 16 axes at most");
    }

    std::size_t rank() const { return extents.size(); }
    bool empty() const {
        for (index extent : extents)
            if (extent == 0) return true;
        return false;
    }
};

inline bool same_numbers(std::span<const index> a, std::span<const index> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}
/// Whether two views are of the same elements.
inline bool same_memory(const memory_span& a, const memory_span& b) {
    return a.data == b.data && same_numbers(a.extents, b.extents) &&
           same_numbers(a.strides, b.strides);
}

/// Refuses, by shape_error, two views of different shapes.
inline void check_same_shape(std::string_view name_a, const memory_span& a, std::string_view name_b,
                             const memory_span& b) {
    require_shape(same_numbers(a.extents, b.extents), name_a, " has shape ", a.extents, " and ",
                  name_b, " has shape ", b.extents, ", but the two must be the same");
}

/// Refuses, by shape_error, a view that no memory can have: a negative extent, sizes whose product
/// (or the bytes they span) overflow 64 bits, a null pointer with a non-zero shape.
[[gnu::noinline]] inline void check_view(std::string_view name, const memory_span& x) {
    const index limit = std::numeric_limits<index>::max() / x.element;
    for (index extent : x.extents)
        require_shape(extent >= 0, name, " has shape ", x.extents,
                      ", but extents must not be negative");
    // Even around an extent of zero: a shape is judged by its numbers, not by their luck.
    index product = 1;
    index span = 0;
    for (std::size_t axis = 0; axis < x.rank(); ++axis) {
        const index extent = x.extents[axis] > 0 ? x.extents[axis] : 1;
        const index stride = x.strides[axis];
        const bool fits = product <= limit / extent && stride > -limit && stride < limit;
        const index reach = fits ? (stride < 0 ? -stride : stride) : 0;
        require_shape(fits && (extent == 1 || reach <= (limit - span) / (extent - 1)), name,
                      " has shape ", x.extents, " with strides ", x.strides,
                      ", but its size in bytes must fit in 64 bits");
        product *= extent;
        span += reach * (extent - 1);
    }
    require_shape(x.empty() || x.data != nullptr, name, " is a null pointer with shape ", x.extents,
                  ", but only an empty view may be null");
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
