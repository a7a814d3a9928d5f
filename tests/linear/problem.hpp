#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/parallel.hpp>
#include <heed/linear/linear_attention.hpp>

#include "reference/linear.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"
#include "support/random.hpp"

/// \file
/// Inputs of linear attention, random and of random extents, and what is asked of every map.

namespace heed_test {

using heed::index;

template <class T>
using tensor4 = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// heed::on(pool), for a call that is too small to be shared by itself.
inline heed::on_pool always_on(Eigen::ThreadPoolInterface& pool) {
    return {.pool = &pool, .least_work = 0};
}

struct linear_extents {
    index batch = 1, query_heads = 1, key_heads = 1, value_heads = 1, queries = 1, keys = 1;
    index dim = 1, value_dim = 1;
};

inline std::string to_string(const linear_extents& e) {
    std::ostringstream text;
    text << "batch " << e.batch << ", heads of q " << e.query_heads << ", of k " << e.key_heads
         << ", of v " << e.value_heads << ", queries " << e.queries << ", keys " << e.keys
         << ", dim " << e.dim << ", value dim " << e.value_dim;
    return text.str();
}

/// Small extents that fit nothing: around chunks, primes, 1 and 0, head ratios both ways.
inline linear_extents random_linear_extents(generator& random) {
    linear_extents e;
    e.batch = random.one_of<index>({1, 1, 2});
    const auto [q, k, v] = random.one_of<std::tuple<index, index, index>>(
        {{1, 1, 1}, {2, 2, 2}, {4, 2, 2}, {1, 1, 3}, {2, 1, 4}, {6, 2, 3}});
    e.query_heads = q;
    e.key_heads = k;
    e.value_heads = v;
    e.queries = random.one_of<index>({1, 2, 7, 31, 32, 33, 61, 67});
    e.keys = random.chance(0.5) ? e.queries : random.one_of<index>({1, 3, 31, 32, 33, 71});
    e.dim = random.one_of<index>({1, 2, 3, 5, 8, 9});
    e.value_dim = random.one_of<index>({1, 3, 4, 8, 17});
    return e;
}

inline reference::tensor random_numbers(generator& random, index batches, index heads, index rows,
                                        index columns, double deviation = 1) {
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

template <class T>
double largest_difference(const tensor4<T>& a, const reference::tensor& b) {
    reference::tensor x(b.batches(), b.heads(), b.rows(), b.columns());
    REQUIRE(a.size() == static_cast<index>(b.values.size()));
    std::copy_n(a.data(), a.size(), x.values.begin());
    return reference::largest_difference(x, b);
}

/// q, k, v and the gradient of o.
struct linear_problem {
    linear_extents sizes;
    reference::tensor q, k, v, d_o;

    linear_problem(generator& random, const linear_extents& e, double deviation = 1)
        : sizes(e),
          q(random_numbers(random, e.batch, e.query_heads, e.queries, e.dim, deviation)),
          k(random_numbers(random, e.batch, e.key_heads, e.keys, e.dim, deviation)),
          v(random_numbers(random, e.batch, e.value_heads, e.keys, e.value_dim)),
          d_o(random_numbers(random, e.batch, std::max({e.query_heads, e.key_heads, e.value_heads}),
                             e.queries, e.value_dim)) {}
};

/// The same as heed takes it.
template <class T>
struct linear_inputs {
    tensor4<T> q, k, v, d_o;

    explicit linear_inputs(const linear_problem& from)
        : q(to_tensor<T>(from.q)),
          k(to_tensor<T>(from.k)),
          v(to_tensor<T>(from.v)),
          d_o(to_tensor<T>(from.d_o)) {}
};

/// o is the reference's, in T.
template <class T, class... Parts>
void check_forward(const linear_problem& from, const reference::linear_options& how,
                   double tolerance, const Parts&... parts) {
    const linear_inputs<T> in(from);
    const tensor4<T> o = heed::linear_attention(in.q, in.k, in.v, parts...);
    const reference::tensor expected = reference::linear_attention(from.q, from.k, from.v, how);
    const double scale = std::max(1.0, reference::largest_magnitude(expected));
    CHECK(largest_difference(o, expected) <= tolerance * scale);
}

/// In double: gradients are central differences of the reference, at some numbers of q, k and v.
template <class... Parts>
void check_gradients(generator& random, linear_problem from, const reference::linear_options& how,
                     const Parts&... parts) {
    const linear_inputs<double> in(from);
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, parts...);
    const tensor4<double> plain = heed::linear_attention(in.q, in.k, in.v, parts...);
    for (index e = 0; e < o.size(); ++e) REQUIRE(o.data()[e] == plain.data()[e]);
    const auto gradients =
        heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    const auto loss = [&] {
        const reference::tensor y = reference::linear_attention(from.q, from.k, from.v, how);
        double sum = 0;
        for (std::size_t e = 0; e < y.values.size(); ++e) sum += y.values[e] * from.d_o.values[e];
        return sum;
    };
    const auto check = [&](const char* name, reference::tensor& x,
                           const tensor4<double>& gradient) {
        REQUIRE(gradient.size() == static_cast<index>(x.values.size()));
        double most = 1;
        for (index e = 0; e < gradient.size(); ++e)
            most = std::max(most, std::abs(gradient.data()[e]));
        for (int time = 0; time < 12 && !x.values.empty(); ++time) {
            const auto at = static_cast<std::size_t>(
                random.integer(0, static_cast<index>(x.values.size()) - 1));
            const double here = x.values[at], step = 1e-5;
            if (std::abs(here) < 10 * step) continue;  // kinks at 0
            x.values[at] = here + step;
            const double above = loss();
            x.values[at] = here - step;
            const double below = loss();
            x.values[at] = here;
            INFO(name << " at " << at);
            CHECK(std::abs(gradient.data()[at] - (above - below) / (2 * step)) <= 1e-7 * most);
        }
    };
    check("dq", from.q, gradients.q);
    check("dk", from.k, gradients.k);
    check("dv", from.v, gradients.v);
}

/// Float's gradients are double's, up to rounding.
template <class... Parts>
void check_float_gradients(const linear_problem& from, double tolerance, const Parts&... parts) {
    const auto gradients_of = [&]<class T>(T) {
        const linear_inputs<T> in(from);
        const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, parts...);
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    };
    const auto exact = gradients_of(double());
    const auto rounded = gradients_of(float());
    const auto check = [&](const tensor4<float>& a, const tensor4<double>& b) {
        double most = 1;
        for (index e = 0; e < b.size(); ++e) most = std::max(most, std::abs(b.data()[e]));
        for (index e = 0; e < b.size(); ++e)
            CHECK(std::abs(static_cast<double>(a.data()[e]) - b.data()[e]) <= tolerance * most);
    };
    check(rounded.q, exact.q);
    check(rounded.k, exact.k);
    check(rounded.v, exact.v);
}

/// Everything above, causal and not, on problems of random extents. `reference_map` is the map's.
template <class Map>
void check_map(std::uint64_t stream, const reference::linear_options& like, const Map& map,
               double deviation = 1, index least_dim = 1) {
    generator random(stream);
    for (int round = 0; round < 14; ++round) {
        linear_extents e = random_linear_extents(random);
        e.dim = std::max(e.dim, least_dim);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        const linear_problem from(random, e, deviation);
        reference::linear_options how = like;
        how.offset = e.keys - e.queries;
        check_forward<double>(from, how, 1e-12, map);
        check_forward<float>(from, how, 1e-5, map);
        if (round % 3 == 0) check_gradients(random, from, how, map);
        how.visible = reference::causal(e.queries, e.keys);
        check_forward<double>(from, how, 1e-12, heed::causal, map);
        check_forward<float>(from, how, 1e-5, heed::causal, map);
        if (round % 3 != 0) check_gradients(random, from, how, heed::causal, map);
        if (round % 5 == 0) check_float_gradients(from, 2e-5, heed::causal, map);
    }
}

}  // namespace heed_test
