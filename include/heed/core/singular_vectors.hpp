#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/microkernel.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/padded_matrix.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/unroll.hpp>

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

/// Σp·q of two padded rows.
template <class Real>
Real multiply_two_rows(const Real* p, const Real* q, index count) {
    using V = vec<Real>;
    constexpr int chains = 4;  // that do not wait for one another
    V sum[chains] = {0.0, 0.0, 0.0, 0.0};
    index i = 0;
    for (; i + chains * V::size <= count; i += chains * V::size)
        unroll<chains>([&](int c) __attribute__((always_inline)) {
            sum[c] = fma(V::load(p + i + c * V::size), V::load(q + i + c * V::size), sum[c]);
        });
    for (; i < count; i += V::size) sum[0] = fma(V::load(p + i), V::load(q + i), sum[0]);
    return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/// Σp² and Σq² of two rows.
template <class Real>
struct two_squares {
    Real p, q;
};

/// p ← cos·p − sin·q, q ← sin·p + cos·q, and their squares then.
template <class Real>
two_squares<Real> rotate_two_rows(Real* p, Real* q, index count, Real cosine, Real sine) {
    using V = vec<Real>;
    V of_p(Real(0)), of_q(Real(0));
    for (index i = 0; i < count; i += V::size) {
        const V a = V::load(p + i), b = V::load(q + i);
        const V turned_a = fma(V(cosine), a, -product(V(sine), b));
        const V turned_b = fma(V(sine), a, product(V(cosine), b));
        turned_a.store(p + i);
        turned_b.store(q + i);
        of_p = fma(turned_a, turned_a, of_p);
        of_q = fma(turned_b, turned_b, of_q);
    }
    return {reduce_add(of_p), reduce_add(of_q)};
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
    double* squares = s.sigma;  // of w_j, until the end
    for (index j = 0; j < s.columns; ++j)
        squares[j] = multiply_two_rows(s.w_row(j), s.w_row(j), rows);
    const auto turn = [&](index p, index q) {  // whether it had to be
        const double pq = multiply_two_rows(s.w_row(p), s.w_row(q), rows);
        const double limit = tolerance * std::sqrt(squares[p]) * std::sqrt(squares[q]);
        if (!(std::abs(pq) > limit)) return false;
        const double zeta = (squares[q] - squares[p]) / (2 * pq);
        const double tangent = std::copysign(1 / (std::abs(zeta) + std::hypot(1, zeta)), zeta);
        const double cosine = 1 / std::sqrt(1 + tangent * tangent), sine = cosine * tangent;
        const auto turned = rotate_two_rows(s.w_row(p), s.w_row(q), rows, cosine, sine);
        rotate_two_rows(s.v_row(p), s.v_row(q), columns, cosine, sine);
        squares[p] = turned.p;
        squares[q] = turned.q;
        return true;
    };
    bool turned = true;
    for (int sweep = 0; turned && sweep < most_sweeps; ++sweep) {
        turned = false;
        for (index p = 0; p < s.columns; ++p)
            for (index q = p + 1; q < s.columns; ++q) turned |= turn(p, q);
    }
    for (index j = 0; j < s.columns; ++j) s.sigma[j] = std::sqrt(squares[j]);
    return s;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
