#pragma once

#include <algorithm>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/singular_vectors.hpp>

/// \file
/// The Moore–Penrose pseudo-inverse of a matrix by its singular values, all in double: P = Σ
/// v_j·u_jᵀ/σ_j over the singular values that are greater than `tolerance` times the greatest.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Singular values in this order: those that are inverted, others that are not 0, those that are.
struct split_singular_vectors {
    singular_vectors all;
    index inverted, not_zero;
};

template <class T>
split_singular_vectors split_by_size(const padded_matrix<T>& shape, const T* a, double tolerance,
                                     arena& scratch) {
    split_singular_vectors split{find_singular_vectors(shape, a, scratch), 0, 0};
    singular_vectors& s = split.all;
    double greatest = 0;
    for (index j = 0; j < s.columns; ++j)
        if (!(s.sigma[j] <= greatest)) greatest = s.sigma[j];
    const auto bring_forward = [&](index from, const auto& belongs) {
        index end = from;
        for (index j = from; j < s.columns; ++j) {
            if (!belongs(s.sigma[j])) continue;
            std::swap_ranges(s.w_row(j), s.w_row(j) + (j == end ? 0 : s.rows), s.w_row(end));
            std::swap_ranges(s.v_row(j), s.v_row(j) + (j == end ? 0 : s.columns), s.v_row(end));
            std::swap(s.sigma[j], s.sigma[end++]);
        }
        return end;
    };
    split.inverted = bring_forward(  // a NaN, too
        0, [&](double sigma) { return !(sigma <= tolerance * greatest) && sigma != 0; });
    split.not_zero = bring_forward(split.inverted, [](double sigma) { return sigma != 0; });
    return split;
}

/// P of A [rows, columns], a padded matrix.
template <class T>
void pseudo_inverse_by_svd(const padded_matrix<T>& shape, const T* a, double tolerance, T* to,
                           arena& scratch) {
    const arena::scope mark(scratch);
    const split_singular_vectors split = split_by_size(shape, a, tolerance, scratch);
    const singular_vectors& s = split.all;
    for (index j = 0; j < split.inverted; ++j) {  // w_j = σ_j·u_j becomes u_j/σ_j
        double* w = s.w_row(j);
        for (index i = 0; i < s.rows; ++i) w[i] = w[i] / s.sigma[j] / s.sigma[j];
    }
    const padded_matrix<double> product{shape.columns, shape.rows};
    const operand<double> p{scratch.take<double>(product.size()), product.stride()};
    multiply_padded<true, double>(0, s.columns, {s.v, s.of_v().stride()}, {s.w, s.of_w().stride()},
                                  p, s.rows, split.inverted);
    const padded_matrix<T> inverse{shape.columns, shape.rows};
    inverse.clear(to);
    for (index i = 0; i < shape.columns; ++i)
        for (index j = 0; j < shape.rows; ++j)
            to[i * inverse.stride() + j] = static_cast<T>(p.data[i * p.stride + j]);
}

/// The gradient Ā of a square A from Ḡ, that of P. With H = Uᵀ·Ḡᵀ·V and B in its place, Ā = U·B·Vᵀ,
/// where i and j are inverted, and k and l are not:
///
///     B_ij = −H_ji/(σ_i·σ_j)    B_ik = (H_ik + H_ki·σ_k/σ_i)/(σ_i² − σ_k²)    B_kl = 0
///
/// and so B_ki. Where what is not inverted is 0 that is −PᵀḠPᵀ + (I − AP)ḠᵀPPᵀ + PᵀPḠᵀ(I − PA)
/// (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973); σ_k = 0 has no u_k, so what belongs to it is
/// what is left of ḠᵀV outside of U.
template <class T>
void pseudo_inverse_backward_by_svd(const padded_matrix<T>& shape, const T* a, double tolerance,
                                    const T* d_p, T* d_a, arena& scratch) {
    const arena::scope mark(scratch);
    const index m = shape.rows;
    const padded_matrix<double> square{m, m};
    const auto take = [&] {
        const operand<double> taken{scratch.take<double>(square.size()), square.stride()};
        square.clear(taken.data);
        return taken;
    };
    const auto multiply = [m](const operand<double>& x, const operand<double>& y,
                              const operand<double>& to) {
        multiply_padded<false, double>(0, m, x, y, to, m, m);
    };
    const auto multiply_transposed = [m](const operand<double>& x, const operand<double>& y,
                                         const operand<double>& to, index depth,
                                         const product_terms<double>& terms = {}) {
        multiply_padded<true, double>(0, m, x, y, to, m, depth, terms);
    };

    // 1. U and V as rows, and H.
    const split_singular_vectors split = split_by_size(shape, a, tolerance, scratch);
    const singular_vectors& s = split.all;
    const double* sigma = s.sigma;
    for (index j = 0; j < split.not_zero; ++j) {
        double* w = s.w_row(j);
        for (index i = 0; i < m; ++i) w[i] /= sigma[j];
    }
    for (index j = split.not_zero; j < m; ++j) std::fill_n(s.w_row(j), m, 0.0);
    const operand<double> u{s.w, s.of_w().stride()}, v{s.v, s.of_v().stride()};
    const operand<double> g = take(), z = take(), turned = take(), h = take();
    for (index i = 0; i < m; ++i)
        for (index j = 0; j < m; ++j)
            g.data[i * g.stride + j] = static_cast<double>(d_p[i * shape.stride() + j]);
    multiply(v, g, z);  // row j is Ḡᵀ·v_j
    transpose_padded<double>(0, m, z, m, turned);
    multiply(u, turned, h);

    // 2. B.
    const operand<double> b = take(), result = take();
    const auto at = [](const operand<double>& x, index i, index j) -> double& {
        return x.data[i * x.stride + j];
    };
    for (index i = 0; i < split.inverted; ++i) {
        for (index j = 0; j < split.inverted; ++j) at(b, i, j) = -at(h, j, i) / sigma[i] / sigma[j];
        for (index k = split.inverted; k < m; ++k) {
            const double between = (sigma[i] - sigma[k]) * (sigma[i] + sigma[k]);
            const double share = sigma[k] / sigma[i];
            at(b, i, k) = (at(h, i, k) + at(h, k, i) * share) / between;
            at(b, k, i) = (at(h, k, i) + at(h, i, k) * share) / between;
        }
    }

    // 3. Ā = U·B·Vᵀ, and what is outside of U.
    multiply(b, v, turned);
    multiply_transposed(u, turned, result, m);
    if (split.not_zero < m) {
        multiply_transposed(h, u, g, m, {.factor = -1, .add = z.data});  // Z − U·H, as rows
        for (index i = 0; i < split.inverted; ++i)
            for (index c = 0; c < m; ++c) at(g, i, c) = at(g, i, c) / sigma[i] / sigma[i];
        multiply_transposed(g, v, result, split.inverted, {.add = result.data});
    }
    shape.clear(d_a);
    for (index i = 0; i < m; ++i)
        for (index j = 0; j < m; ++j)
            d_a[i * shape.stride() + j] = static_cast<T>(at(result, i, j));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
