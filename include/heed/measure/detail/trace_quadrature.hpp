#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/measure/detail/tridiagonal.hpp>

/// \file
/// Sums over the singular values σ of a matrix A from what random probes have seen of it:
/// stochastic Lanczos quadrature (Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38, 2017).
///
/// For a probe v of n signs, E[vᵀf(AᵀA)v] = Σf(σ²). The bidiagonal matrix of Golub and Kahan's
/// steps from v is all of A that vᵀf(AᵀA)v needs: its own singular values are Gauss's nodes for it.
///
/// Arrays are template parameters so that a program compiles them where it estimates a rank.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Σσ, Σσ·log σ and Σσ² as each probe sees them.
template <class Array>
struct spectral_sums {
    Array sigma, sigma_log_sigma, square;
};

/// What Golub and Kahan's steps leave of a matrix with n columns: α₁, β₁, α₂, β₂, …, a column a
/// probe, of probes of length 1, in a unit that makes the greatest about 1.
template <class Matrix>
struct bidiagonal_probes {
    Matrix beside;
    double columns = 0;

    /// By Gauss's rule, or by Gauss and Radau's with a node at 0. The errors of the two have
    /// opposite signs for σ and, where it matters, for σ·log σ.
    template <class Array>
    spectral_sums<Array> sums(bool node_at_zero) const {
        const index steps = beside.rows() / 2, probes = beside.cols();
        spectral_sums<Array> result{Array::Zero(probes), Array::Zero(probes),
                                    columns * beside.row(0).transpose().array().square()};
        const index nodes = steps + (node_at_zero ? 1 : 0);
        const auto size = static_cast<std::size_t>(nodes);
        std::vector<double> diagonal(size), off(size - 1);
        for (index p = 0; p < probes; ++p) {
            // BᵀB, B bidiagonal. With B's last column it is singular: that is the node at 0.
            const auto alpha = [&](index i) { return i < steps ? beside(2 * i, p) : 0.0; };
            const auto beta = [&](index i) { return i > 0 ? beside(2 * i - 1, p) : 0.0; };
            for (index i = 0; i < nodes; ++i) {
                const auto at = static_cast<std::size_t>(i);
                diagonal[at] = alpha(i) * alpha(i) + beta(i) * beta(i);
                if (i > 0) off[at - 1] = alpha(i - 1) * beta(i);
            }
            const tridiagonal_spectrum spectrum = spectrum_of(diagonal, off);
            for (std::size_t i = 0; i < size; ++i) {
                const double root = std::sqrt(std::fmax(spectrum.values[i], 0.0));
                if (root == 0) continue;
                const double first = spectrum.first[i];
                const double weighted = columns * first * first * root;
                result.sigma(p) += weighted;
                result.sigma_log_sigma(p) += weighted * std::log(root);
            }
        }
        return result;
    }
};

/// exp(H(σ/Σσ)) by the means over the probes, all but one of them unless `without` is −1. What the
/// probes have seen of Σσ² tells how far their means are off, since Σσ² itself is known: by the
/// line of least squares through the probes.
template <class Array>
double effective_rank_of(const spectral_sums<Array>& seen, double square, index without) {
    const index probes = seen.square.size();
    const auto mean = [&](const auto& x) {
        double sum = 0;
        for (index p = 0; p < probes; ++p) sum += p == without ? 0 : x(p);
        return sum / static_cast<double>(probes - (without < 0 ? 0 : 1));
    };
    const double mean_square = mean(seen.square);
    const Array away = seen.square - mean_square;
    const double variance = mean(away.square());
    // Where they all see the same, what is left is rounding.
    const bool differ = variance > 1e-10 * mean_square * mean_square;
    const auto corrected = [&](const Array& x) {
        const double mean_x = mean(x), slope = differ ? mean(away * (x - mean_x)) / variance : 0;
        return mean_x - slope * (mean_square - square);
    };
    const double sum = corrected(seen.sigma);
    if (sum <= 0) return 0;
    return std::exp(std::log(sum) - corrected(seen.sigma_log_sigma) / sum);
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
