#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/storage.hpp>

/// \file
/// What is asked of weights before anything is done with them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// [outputs, inputs].
template <class T, int Rank>
tensor_view<T, 2> weight_matrix(const tensor_view<T, Rank>& weight) {
    static_assert(Rank == 2, "heed: weights are a matrix, [outputs, inputs]");
    if constexpr (Rank == 2)
        return weight;
    else
        return {};
}

inline void check_one_an_output(std::string_view name, index length,
                                const std::array<index, 2>& shape) {
    require_shape(length == shape[0], name, " has length ", length, " and weight has shape ", shape,
                  ", but there must be one for each output");
}

/// Whether x is of what the weights compute in; if not, the compiler says so, and no more.
template <class X, class W>
constexpr bool fits_weights() {
    constexpr bool fits = std::is_same_v<X, computed_scalar<W>>;
    static_assert(fits, "heed: x is double for weights stored in double, and float for all others");
    return fits;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
