#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/core/error.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Tensors of 16-bit numbers: the bits of a call with the same numbers as floats, rounded once.

namespace test_attention_storage {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

template <class To, class From>
tensor4<To> rounded(const tensor4<From>& x) {
    tensor4<To> result(x.dimensions());
    for (index e = 0; e < x.size(); ++e) result.data()[e] = static_cast<To>(x.data()[e]);
    return result;
}

template <class S>
bool are_same(const tensor4<S>& a, const tensor4<S>& b) {
    return a.dimensions() == b.dimensions() && same_bits(a, b);
}

/// Tensors of one call in S, and the same numbers as floats.
template <class S>
struct problem {
    tensor4<S> q, k, v, d_o;
    tensor4<float> wide_q, wide_k, wide_v, wide_d_o;

    problem(generator& random, const extents& e)
        : q(rounded<S>(random.tensor<float>(e.batch, e.heads, e.queries, e.dim))),
          k(rounded<S>(random.tensor<float>(e.batch, e.kv_heads, e.keys, e.dim))),
          v(rounded<S>(random.tensor<float>(e.batch, e.kv_heads, e.keys, e.value_dim))),
          d_o(rounded<S>(random.tensor<float>(e.batch, e.heads, e.queries, e.value_dim))),
          wide_q(rounded<float>(q)),
          wide_k(rounded<float>(k)),
          wide_v(rounded<float>(v)),
          wide_d_o(rounded<float>(d_o)) {}
};

template <class S, class... Parts>
void check(generator& random, const extents& e, const Parts&... parts) {
    INFO(to_string(e));
    const problem<S> in(random, e);
    const auto [wide_o, wide_stats] =
        heed::attention_forward(in.wide_q, in.wide_k, in.wide_v, parts...);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    static_assert(std::is_same_v<decltype(stats), const heed::stats_for<S, Parts...>>);
    CHECK(are_same(o, rounded<S>(wide_o)));
    CHECK(are_same(heed::attention(in.q, in.k, in.v, parts...), o));

    const auto wide = heed::attention_backward(in.wide_d_o, rounded<float>(o), wide_stats,
                                               in.wide_q, in.wide_k, in.wide_v, parts...);
    const auto grad = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    CHECK(are_same(grad.q, rounded<S>(wide.q)));
    CHECK(are_same(grad.k, rounded<S>(wide.k)));
    CHECK(are_same(grad.v, rounded<S>(wide.v)));
}

TEMPLATE_TEST_CASE("16-bit tensors have the bits of their numbers as floats, rounded once", "",
                   Eigen::bfloat16, Eigen::half) {
    generator random(9401);
    for (int round = 0; round < 6; ++round) {
        extents e = random_extents(random);
        e.keys = e.queries;
        check<TestType>(random, e, heed::causal);
    }
    check<TestType>(random, {1, 2, 1, 130, 300, 16, 24}, heed::entmax15);
    check<TestType>(random, {1, 1, 1, 0, 3, 4, 4}, heed::causal);
}

TEST_CASE("what is learned and observed of 16-bit tensors is float") {
    using S = Eigen::bfloat16;
    generator random(9402);
    const problem<S> in(random, {2, 2, 2, 9, 13, 8, 5});
    tensor4<float> table = random.tensor<float>(2, 2, 9, 13);
    const auto bias = heed::learn(heed::bias(table));
    const auto [o, stats, entropy] =
        heed::attention_forward(in.q, in.k, in.v, bias, heed::row_entropy);
    const auto [wide_o, wide_stats, wide_entropy] =
        heed::attention_forward(in.wide_q, in.wide_k, in.wide_v, bias, heed::row_entropy);
    for (index e = 0; e < entropy.size(); ++e) CHECK(entropy.data()[e] == wide_entropy.data()[e]);
    const auto grad = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, bias);
    const auto wide = heed::attention_backward(in.wide_d_o, rounded<float>(o), wide_stats,
                                               in.wide_q, in.wide_k, in.wide_v, bias);
    CHECK(are_same<float>(grad.template of<0>(), wide.template of<0>()));
}

TEST_CASE("16-bit tensors of any layout, and any threads") {
    using S = Eigen::half;
    generator random(9403);
    const problem<S> in(random, {2, 3, 3, 37, 37, 13, 13});
    const auto expected = heed::attention(in.q, in.k, in.v, heed::causal);
    Eigen::ThreadPool pool(3);
    CHECK(are_same(heed::attention(in.q, in.k, in.v, heed::causal, always_on(pool)), expected));

    const auto column_major = [](const tensor4<S>& x) {
        Eigen::Tensor<S, 4> result(x.dimensions());
        for (index b = 0; b < x.dimension(0); ++b)
            for (index h = 0; h < x.dimension(1); ++h)
                for (index i = 0; i < x.dimension(2); ++i)
                    for (index c = 0; c < x.dimension(3); ++c) result(b, h, i, c) = x(b, h, i, c);
        return result;
    };
    const auto o =
        heed::attention(column_major(in.q), column_major(in.k), column_major(in.v), heed::causal);
    bool same = true;
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 3; ++h)
            for (index i = 0; i < 37; ++i)
                for (index c = 0; c < 13; ++c)
                    same = same && static_cast<float>(o(b, h, i, c)) ==
                                       static_cast<float>(expected(b, h, i, c));
    CHECK(same);
}

TEST_CASE("what no 16-bit number holds is infinite, and NaN stays where it is seen") {
    generator random(9404);
    problem<Eigen::half> in(random, {1, 1, 1, 8, 8, 4, 4});
    in.v(0, 0, 5, 2) = Eigen::half(std::numeric_limits<float>::quiet_NaN());
    in.v(0, 0, 0, 1) = Eigen::half(65504.0F);
    const auto o = heed::attention(in.q, in.k, in.v, heed::causal);
    for (index i = 0; i < 8; ++i) CHECK(std::isnan(static_cast<float>(o(0, 0, i, 2))) == (i >= 5));
    CHECK(static_cast<float>(o(0, 0, 0, 1)) == 65504);
}

TEST_CASE("16-bit tensors: errors, and no allocation by a second call") {
    using S = Eigen::bfloat16;
    generator random(9405);
    const problem<S> in(random, {1, 2, 2, 40, 40, 8, 8});
    tensor4<S> q = in.q, o = in.q;
    CHECK_THROWS_AS(heed::attention_into(q, q, in.k, in.v), heed::argument_error);
    CHECK(are_same(q, in.q));
    tensor4<S> other(1, 2, 39, 8);
    CHECK_THROWS_AS(heed::attention_into(other, in.q, in.k, in.v), heed::shape_error);
    CHECK_THROWS_AS(heed::attention(in.q, in.k, other), heed::shape_error);
    constexpr index huge = index(1) << 62;
    const auto wrong = heed::view(in.q.data(), {huge, huge, index(2), index(8)});
    CHECK_THROWS_AS(heed::attention(wrong, wrong, wrong), heed::shape_error);

    heed::workspace memory;
    heed::stats_for<S> stats;
    const auto forward = [&] {
        heed::attention_forward_into(o, stats, in.q, in.k, in.v, heed::in(memory));
    };
    forward();
    auto grad = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::in(memory));
    const std::size_t before = allocations();
    forward();
    heed::attention_backward_into(grad, in.d_o, o, stats, in.q, in.k, in.v, heed::in(memory));
    CHECK(allocations() == before);
}

}  // namespace test_attention_storage
