#pragma once

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Gradients of learned parameters: what the caller gets, and how long sums stay exact.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The gradient of a vector of parameters, zero, in T.
template <class T>
auto make_vector_gradient(index size) {
    using gradient = Eigen::Matrix<T, Eigen::Dynamic, 1>;
    return gradient(gradient::Zero(size));
}

/// The gradient of a single parameter, zero, in T.
template <class T>
auto make_scalar_gradient() {
    return Eigen::Matrix<T, 1, 1>(T(0));
}

/// Element e of such a gradient, whether the caller's object has one axis or two.
template <class T, int Rank>
T& gradient_element(const tensor_view<T, Rank>& gradient, index e) {
    static_assert(Rank == 1 || Rank == 2, "heed: the gradient of a vector is a vector");
    if constexpr (Rank == 1)
        return gradient(e);
    else
        return gradient.extents[1] == 1 ? gradient(e, 0) : gradient(0, e);
}

/// Kahan's sum, one a lane: a parameter that serves all keys is a sum over every score of a head,
/// and a plain sum of so many floats would lose half its digits.
template <class T>
struct lane_sum {
    static constexpr index size = 2 * vec<T>::size;  ///< how many numbers it is, zero at first

    /// Adds a·b.
    static void add(T* sum, vec<T> a, vec<T> b) {
        const vec<T> before = vec<T>::load(sum);
        const vec<T> corrected = fma(a, b, -vec<T>::load(sum + vec<T>::size));
        const vec<T> after = before + corrected;
        after.store(sum);
        ((after - before) - corrected).store(sum + vec<T>::size);
    }

    static double total(const T* sum) {
        double result = 0;
        for (index l = 0; l < vec<T>::size; ++l)
            result += static_cast<double>(sum[l]) - static_cast<double>(sum[vec<T>::size + l]);
        return result;
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
