#pragma once

#include <cstring>

#include <Eigen/Core>

/// \file
/// Equality bit by bit.

namespace heed_test {

/// Whether two numbers have the same bits. A NaN is as good as another: of two that are multiplied
/// or added a processor passes on the first, and which is first is the compiler's choice.
template <class T>
bool same_number(const T& a, const T& b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

/// The same of all numbers of two tensors or vectors, in memory's order.
template <class A, class B>
bool same_bits(const A& a, const B& b) {
    if (a.size() != b.size()) return false;
    const auto* x = a.data();
    const auto* y = b.data();
    for (Eigen::Index i = 0; i < static_cast<Eigen::Index>(a.size()); ++i)
        if (!same_number(x[i], y[i])) return false;
    return true;
}

}  // namespace heed_test
