#pragma once

#include <cstdint>

#include <Eigen/Core>

#include "table.hpp"

/// \file
/// What attention does on random queries, keys and values of independent normal numbers.

namespace robustness {

struct settings {
    Eigen::Index longest = 65536;  ///< keys
    Eigen::Index queries = 256;
    Eigen::Index dim = 128;
    std::uint64_t seed = 1;
};

class measurements {
  public:
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    explicit measurements(const settings& chosen);

    /// ‖õ − o‖/‖o‖, õ with normal noise on the scores, for values of mean 0 and of mean 1; their
    /// deviation is 1. Beside each what is expected: noise of deviation σ multiplies a weight by
    /// e^ε, so that õ − o = Σ_j p_j·(e^{ε_j}/E[e^ε] − 1)·v_j, about. There the values' mean drops
    /// out, and each element is left with mean 0 and variance (e^{σ²} − 1)·Σp².
    table noise() const;

    /// The mean entropy of a row under scales of normal scores and of cosines, and the floor of
    /// that of cosines without a scale.
    table entropy() const;

    /// The scale α* that maximises what the size α(1 − Σp²) of softmax's gradient is expected to
    /// be, and a fit of it: normal scores, then cosines.
    table scale() const;

    /// The size of the gradient under a scale α of normal scores: the expectation α(1 − e^{α²}/n)
    /// that α* maximises, mean and median of the rows.
    table size() const;

  private:
    /// What is seen of an attention to the first n keys.
    struct seen {
        matrix o;
        double entropy = 0;      ///< mean of the rows' −Σ p·log p
        Eigen::ArrayXd squares;  ///< Σp² of each row
    };

    template <class Scale>
    seen look(Eigen::Index n, const Scale& scale) const;

    settings chosen_;
    matrix q_, k_, v_;
};

}  // namespace robustness
