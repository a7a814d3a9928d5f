#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/linear/linear_attention.hpp>

#include "reference/linear.hpp"
#include "support/catch.hpp"
#include "support/linear_kernels.hpp"
#include "support/random.hpp"
#include "support/tensors.hpp"
#include "support/threads.hpp"

/// \file
/// Inputs of linear attention, random and of random extents, and what is asked of every map.

namespace heed_test {

using heed::index;

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

// What knows no part is compiled once.

template <class T>
void compare_outputs(const linear_problem& from, const reference::linear_options& how,
                     double tolerance, const tensor4<T>& o) {
    const reference::tensor expected = reference::linear_attention(from.q, from.k, from.v, how);
    const double scale = std::max(1.0, reference::largest_magnitude(expected));
    CHECK(largest_difference(o, expected) <= tolerance * scale);
}

/// Gradients are central differences of the reference, along a direction through all numbers of q,
/// of k and of v, and of the log decays, the numbers of an update and the bonus if theirs are
/// given, and at some of them.
inline void compare_gradients(generator& random, linear_problem from, reference::linear_options how,
                              const tensor4<double>& dq, const tensor4<double>& dk,
                              const tensor4<double>& dv, const tensor4<double>* d_logs = nullptr,
                              const tensor4<double>* d_deltas = nullptr,
                              const tensor4<double>* d_erased = nullptr,
                              const tensor4<double>* d_written = nullptr,
                              const tensor4<double>* d_bonus = nullptr,
                              const tensor4<double>* d_a = nullptr,
                              const tensor4<double>* d_b = nullptr) {
    const auto loss = [&] {
        const reference::tensor y = reference::linear_attention(from.q, from.k, from.v, how);
        return std::inner_product(y.values.begin(), y.values.end(), from.d_o.values.begin(), 0.0);
    };
    const auto check = [&](const char* name, reference::tensor& x,
                           const tensor4<double>& gradient) {
        const std::size_t size = x.values.size();
        REQUIRE(gradient.size() == static_cast<index>(size));
        if (size == 0) return;
        const std::vector<double> here = x.values;
        constexpr double step = 1e-5;
        const auto loss_at = [&](double distance, const std::vector<double>& direction) {
            for (std::size_t e = 0; e < size; ++e) x.values[e] = here[e] + distance * direction[e];
            return loss();
        };
        const double most = std::accumulate(
            gradient.data(), gradient.data() + size, 1.0,
            [](double largest, double g) { return std::max(largest, std::abs(g)); });
        for (int time = 0; time < 3; ++time) {
            std::vector<double> direction(size);
            if (time == 0) {
                for (double& d : direction)
                    d = random.normal(1 / std::sqrt(static_cast<double>(size)));
            } else {
                direction[static_cast<std::size_t>(
                    random.integer(0, static_cast<index>(size) - 1))] = 1;
            }
            for (std::size_t e = 0; e < size; ++e)
                if (std::abs(here[e]) < 10 * step || !std::isfinite(here[e]))
                    direction[e] = 0;  // kinks at 0
            const double slope =
                (loss_at(step, direction) - loss_at(-step, direction)) / (2 * step);
            const double expected =
                std::inner_product(direction.begin(), direction.end(), gradient.data(), 0.0);
            INFO(name << ", direction " << time);
            CHECK(std::abs(expected - slope) <= 1e-7 * most);
        }
        x.values = here;
    };
    check("dq", from.q, dq);
    check("dk", from.k, dk);
    check("dv", from.v, dv);
    if (d_logs != nullptr) check("d log α", *how.log_decays, *d_logs);
    if (d_deltas != nullptr) check("dβ", *how.deltas, *d_deltas);
    if (d_erased != nullptr) check("de", *how.erased, *d_erased);
    if (d_written != nullptr) check("dw", *how.written, *d_written);
    if (d_bonus != nullptr) check("du", *how.bonus, *d_bonus);
    if (d_a != nullptr) check("da", *how.a, *d_a);
    if (d_b != nullptr) check("db", *how.b, *d_b);
}

inline void compare_rounded(const tensor4<float>& a, const tensor4<double>& b, double tolerance) {
    double most = 1, difference = 0;
    for (index e = 0; e < b.size(); ++e) {
        most = std::max(most, std::abs(b.data()[e]));
        difference = std::max(difference, std::abs(static_cast<double>(a.data()[e]) - b.data()[e]));
    }
    CHECK(difference <= tolerance * most);
}

/// o is the reference's, in T.
template <class T, class... Parts>
void check_forward(const linear_problem& from, const reference::linear_options& how,
                   double tolerance, const Parts&... parts) {
    const linear_inputs<T> in(from);
    const tensor4<T> o = heed::linear_attention(in.q, in.k, in.v, parts...);
    compare_outputs(from, how, tolerance, o);
}

/// In double: forward with stats has the same bits, and gradients are the reference's.
template <class... Parts>
void check_gradients(generator& random, const linear_problem& from,
                     const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, parts...);
    const tensor4<double> plain = heed::linear_attention(in.q, in.k, in.v, parts...);
    REQUIRE(std::equal(o.data(), o.data() + o.size(), plain.data()));
    const auto gradients =
        heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v);
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
    compare_rounded(rounded.q, exact.q, tolerance);
    compare_rounded(rounded.k, exact.k, tolerance);
    compare_rounded(rounded.v, exact.v, tolerance);
}

/// Everything above, causal and not, on problems of random extents; `offset` is added to the
/// numbers of q and k.
template <class Map>
void check_map(std::uint64_t stream, const reference::linear_options& like, const Map& map,
               double offset = 0) {
    generator random(stream);
    for (int round = 0; round < 10; ++round) {
        linear_extents e = random_linear_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e));
        linear_problem from(random, e);
        for (reference::tensor* x : {&from.q, &from.k})
            for (double& number : x->values) number += offset;
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
