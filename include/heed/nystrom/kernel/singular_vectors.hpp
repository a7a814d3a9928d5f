#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>
#include <heed/nystrom/kernel/padded_matrix.hpp>

/// \file
/// The singular value decomposition of a small matrix, in double, by one-sided Jacobi rotations
/// (Hestenes 1958): columns of A are turned by pairs until all are orthogonal to one another.
///
/// Built for the caches: a rotation is two passes over four columns, which lie as rows. Slower than
/// a method by bidiagonal matrices, shorter, and at least as accurate for small singular values.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// A·V = W: w_j = σ_j·u_j are orthogonal, v_j orthonormal. Both lie as rows of a padded matrix,
/// w_j as long as A has rows and v_j as long as it has columns.
struct singular_vectors {
    index rows, columns;
    double *w, *v;
    double* sigma;  ///< ‖w_j‖, in no order

    padded_matrix<double> of_w() const { return {columns, rows}; }
    padded_matrix<double> of_v() const { return {columns, columns}; }
    double* w_row(index j) const { return w + j * of_w().stride(); }
    double* v_row(index j) const { return v + j * of_v().stride(); }
};

/// Σp², Σq² and Σp·q of two padded rows.
template <class Real>
struct row_products {
    Real pp, qq, pq;
};

template <class Real>
row_products<Real> multiply_two_rows(const Real* p, const Real* q, index count) {
    using V = vec<Real>;
    V pp[2] = {0.0, 0.0}, qq[2] = {0.0, 0.0}, pq[2] = {0.0, 0.0};  // chains that do not wait
    const auto add = [&](auto chain, index i) {
        const V a = V::load(p + i), b = V::load(q + i);
        pp[chain] = fma(a, a, pp[chain]);
        qq[chain] = fma(b, b, qq[chain]);
        pq[chain] = fma(a, b, pq[chain]);
    };
    index i = 0;
    for (; i + 2 * V::size <= count; i += 2 * V::size)
        unroll<2>([&](auto chain) { add(chain, i + chain * V::size); });
    if (i < count) add(fixed<0>(), i);
    return {reduce_add(pp[0] + pp[1]), reduce_add(qq[0] + qq[1]), reduce_add(pq[0] + pq[1])};
}

/// p ← cos·p − sin·q, q ← sin·p + cos·q.
template <class Real>
void rotate_two_rows(Real* p, Real* q, index count, Real cosine, Real sine) {
    using V = vec<Real>;
    for (index i = 0; i < count; i += V::size) {
        const V a = V::load(p + i), b = V::load(q + i);
        fma(V(cosine), a, -product(V(sine), b)).store(p + i);
        fma(V(sine), a, product(V(cosine), b)).store(q + i);
    }
}

/// The decomposition of A [rows, columns], a padded matrix; its numbers are finite, or all of the
/// result is NaN. Taken from the arena.
template <class T>
singular_vectors find_singular_vectors(const padded_matrix<T>& shape, const T* a, arena& scratch) {
    constexpr int most_sweeps = 60;  // some ten are enough
    singular_vectors s{shape.rows, shape.columns, nullptr, nullptr, nullptr};
    s.w = scratch.take<double>(s.of_w().size());
    s.v = scratch.take<double>(s.of_v().size());
    s.sigma = scratch.take<double>(std::max<index>(1, s.columns));
    s.of_w().clear(s.w);
    s.of_v().clear(s.v);
    for (index j = 0; j < s.columns; ++j) {
        s.v_row(j)[j] = 1;
        for (index i = 0; i < s.rows; ++i)
            s.w_row(j)[i] = static_cast<double>(a[i * shape.stride() + j]);
    }
    const index rows = padded<double>(s.rows), columns = padded<double>(s.columns);
    const double tolerance =
        std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(s.rows));
    bool turned = true;
    for (int sweep = 0; turned && sweep < most_sweeps; ++sweep) {
        turned = false;
        for (index p = 0; p < s.columns; ++p) {
            for (index q = p + 1; q < s.columns; ++q) {
                const auto [pp, qq, pq] = multiply_two_rows(s.w_row(p), s.w_row(q), rows);
                if (!(std::abs(pq) > tolerance * std::sqrt(pp) * std::sqrt(qq))) continue;
                const double zeta = (qq - pp) / (2 * pq);
                const double tangent =
                    std::copysign(1 / (std::abs(zeta) + std::hypot(1, zeta)), zeta);
                const double cosine = 1 / std::sqrt(1 + tangent * tangent);
                rotate_two_rows(s.w_row(p), s.w_row(q), rows, cosine, cosine * tangent);
                rotate_two_rows(s.v_row(p), s.v_row(q), columns, cosine, cosine * tangent);
                turned = true;
            }
        }
    }
    for (index j = 0; j < s.columns; ++j)
        s.sigma[j] = std::sqrt(multiply_two_rows(s.w_row(j), s.w_row(j), rows).pp);
    return s;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
