#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>
#include <string>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/shape.hpp>

#include "reference/attention.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"
#include "support/tensors.hpp"
#include "support/threads.hpp"

/// \file
/// Inputs of an attention, random and of random extents, for heed and for the reference.

namespace heed_test {

using heed::index;

/// The extents of a call.
struct extents {
    index batch = 1, heads = 1, kv_heads = 1, queries = 1, keys = 1, dim = 1, value_dim = 1;
};

inline std::string to_string(const extents& e) {
    std::ostringstream text;
    text << "batch " << e.batch << ", heads " << e.heads << ", kv heads " << e.kv_heads
         << ", queries " << e.queries << ", keys " << e.keys << ", dim " << e.dim << ", value dim "
         << e.value_dim;
    return text.str();
}

/// Small extents that fit nothing: primes, 1, and one beside every tile of the kernels.
inline extents random_extents(generator& random) {
    extents e;
    e.batch = random.one_of<index>({1, 1, 2, 3});
    e.kv_heads = random.one_of<index>({1, 2, 3});
    e.heads = e.kv_heads * random.one_of<index>({1, 1, 2, 3});
    e.queries = random.one_of<index>({1, 2, 5, 13, 17, 37, 61});
    e.keys = random.chance(0.4) ? e.queries : random.one_of<index>({1, 2, 7, 19, 33, 67, 101});
    e.dim = random.one_of<index>({1, 2, 3, 5, 8, 13, 16, 24});
    e.value_dim = random.chance(0.4) ? e.dim : random.one_of<index>({1, 3, 4, 7, 16, 17, 33});
    return e;
}

/// One head, and as many queries or keys as need several of the kernels' blocks.
inline extents long_extents(generator& random) {
    extents e;
    e.dim = random.one_of<index>({3, 8, 20});
    e.value_dim = random.one_of<index>({5, 8, 65});
    if (random.chance(0.5)) {
        e.queries = random.one_of<index>({2, 13, 29});
        e.keys = random.one_of<index>({257, 521, 1300});
    } else {
        e.queries = random.one_of<index>({97, 193, 211});
        e.keys = random.one_of<index>({e.queries, 31, 300});
    }
    return e;
}

/// q, k and v of a call, and the gradients of its o and log-sum-exp.
struct problem {
    extents sizes;
    reference::tensor q, k, v, d_o, d_log_sum_exp;
    double slack = 1;  ///< how much larger than the promised ones errors may be

    problem(generator& random, const extents& e, double deviation = 1)
        : sizes(e),
          q(random_numbers(random, e.batch, e.heads, e.queries, e.dim, deviation)),
          k(random_numbers(random, e.batch, e.kv_heads, e.keys, e.dim, deviation)),
          v(random_numbers(random, e.batch, e.kv_heads, e.keys, e.value_dim)),
          d_o(random_numbers(random, e.batch, e.heads, e.queries, e.value_dim)),
          d_log_sum_exp(random_numbers(random, e.batch, e.heads, e.queries, 1)) {}
};

/// Any dense Eigen object as the reference's tensor, of the extents of `like`.
template <class Dense>
reference::tensor to_reference(const Dense& from, const reference::tensor& like) {
    reference::tensor to = zeros_like(like);
    std::copy_n(from.data(), from.size(), to.values.begin());
    return to;
}

/// A problem as heed takes it.
template <class T>
struct inputs {
    tensor4<T> q, k, v, d_o;
    Eigen::Tensor<T, 3, Eigen::RowMajor> d_log_sum_exp;

    explicit inputs(const problem& from)
        : q(to_tensor<T>(from.q)),
          k(to_tensor<T>(from.k)),
          v(to_tensor<T>(from.v)),
          d_o(to_tensor<T>(from.d_o)),
          d_log_sum_exp(from.sizes.batch, from.sizes.heads, from.sizes.queries) {
        std::transform(from.d_log_sum_exp.values.begin(), from.d_log_sum_exp.values.end(),
                       d_log_sum_exp.data(), [](double x) { return static_cast<T>(x); });
    }
    inputs(generator& random, const extents& e, double deviation = 1)
        : inputs(problem(random, e, deviation)) {}
};

}  // namespace heed_test
