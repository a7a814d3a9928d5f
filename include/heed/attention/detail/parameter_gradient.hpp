#pragma once

#include <string_view>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

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

/// The gradient of a tensor of parameters, zero, of that tensor's kind and shape.
template <class Tensor, class View>
auto make_tensor_gradient(const View& parameters) {
    auto gradient = make_like<Tensor>(parameters.extents);
    gradient.setZero();
    return gradient;
}

/// Refuses, by shape_error, a gradient of another shape than the bias that it is of.
template <class Gradient, class Bias>
void check_bias_gradient(std::string_view name, const Gradient& gradient, const Bias& bias) {
    constexpr bool same_rank = rank_of<Gradient> == rank_of<Bias>;
    static_assert(same_rank, "heed: the gradient of a bias has as many axes as the bias");
    if constexpr (same_rank) {
        check_view(name, gradient);
        check_same_shape(name, gradient, "the bias", bias);
    }
}

/// Element e of the gradient of a vector, whether the caller's object has one axis or two.
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
