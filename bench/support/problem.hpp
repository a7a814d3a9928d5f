#pragma once

#include <algorithm>
#include <cstddef>

#include <unsupported/Eigen/CXX11/Tensor>

/// \file
/// The tensors of an attention to be measured.

namespace heed_bench {

struct shape {
    std::ptrdiff_t batch = 1, heads = 1, kv_heads = 1, queries = 2048, keys = 2048, dim = 64;

    /// Multiplications and additions of q·kᵀ and p·v.
    double forward_flops() const { return 4 * pairs(); }
    /// Of q·kᵀ and the four products of the gradients.
    double backward_flops() const { return 10 * pairs(); }
    /// Bytes of k and v.
    double cache_bytes(std::size_t scalar) const {
        return 2.0 * static_cast<double>(batch * kv_heads * keys * dim) *
               static_cast<double>(scalar);
    }

  private:
    double pairs() const {
        return static_cast<double>(batch * heads * queries) * static_cast<double>(keys * dim);
    }
};

inline shape square(std::ptrdiff_t heads, std::ptrdiff_t n, std::ptrdiff_t dim) {
    return {1, heads, heads, n, n, dim};
}

template <class T>
struct problem {
    using tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

    explicit problem(const shape& s)
        : sizes(s),
          q(s.batch, s.heads, s.queries, s.dim),
          k(s.batch, s.kv_heads, s.keys, s.dim),
          v(k.dimensions()),
          o(q.dimensions()) {
        for (tensor* x : {&q, &k, &v}) {
            x->setRandom();
            *x = (*x - x->constant(T(0.5))) * x->constant(T(3.5));  // variance 1
        }
        o.setZero();
    }

    shape sizes;
    tensor q, k, v, o;
};

/// How often work of so many operations is repeated to take a millisecond or so.
inline std::ptrdiff_t repeats_for(double flops) {
    return std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(2e8 / flops));
}

}  // namespace heed_bench
