#pragma once

#include "matrix.hpp"

namespace char_lm {

/// Where one weight matrix lies in the flat vector that holds all parameters of the model.
///
/// Parameters and their gradients are two flat vectors of the same layout: the optimiser, the sum
/// over threads and the gradient test walk along them and need to know nothing of the layers.
struct weight {
    index offset = 0;
    index rows = 0;
    index columns = 0;

    [[nodiscard]] index size() const { return rows * columns; }

    /// This weight within the flat vector that starts at `flat`.
    template <class Scalar>
    [[nodiscard]] Eigen::Map<const matrix<Scalar>> in(const Scalar* flat) const {
        return {flat + offset, rows, columns};
    }
    template <class Scalar>
    [[nodiscard]] Eigen::Map<matrix<Scalar>> in(Scalar* flat) const {
        return {flat + offset, rows, columns};
    }
};

/// Hands out places in the flat vector, one behind the other.
class parameter_layout {
  public:
    weight add(index rows, index columns) {
        const weight place{size_, rows, columns};
        size_ += place.size();
        return place;
    }
    [[nodiscard]] index size() const { return size_; }

  private:
    index size_ = 0;
};

}  // namespace char_lm
