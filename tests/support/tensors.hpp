#pragma once

#include <algorithm>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/shape.hpp>

#include "reference/tensor.hpp"
#include "support/random.hpp"

/// \file
/// Tensors of numbers, random ones for the reference and the same for heed.

namespace heed_test {

template <class T>
using tensor4 = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// Normal numbers that a float holds exactly.
inline reference::tensor random_numbers(generator& random, heed::index batches, heed::index heads,
                                        heed::index rows, heed::index columns,
                                        double deviation = 1) {
    reference::tensor result(batches, heads, rows, columns);
    for (double& x : result.values)
        x = static_cast<double>(static_cast<float>(random.normal(deviation)));
    return result;
}

template <class T>
tensor4<T> to_tensor(const reference::tensor& from) {
    tensor4<T> to(from.batches(), from.heads(), from.rows(), from.columns());
    std::transform(from.values.begin(), from.values.end(), to.data(),
                   [](double x) { return static_cast<T>(x); });
    return to;
}

}  // namespace heed_test
