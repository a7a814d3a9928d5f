#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/attention/wanted_gradients.hpp>
#include <heed/core/arena.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Backward of some of q, k and v: what is wanted has the bits that it has beside all others.

namespace test_wanted_gradients {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// A gradient is the one of the whole call, or empty.
template <class X>
void check_wanted(const char* what, bool is_wanted, const X& some, const X& all) {
    INFO(what);
    if (is_wanted)
        CHECK(same_bits(some, all));
    else
        CHECK(some.size() == 0);
}

/// Every choice, beside these parts; what is learned is the same whatever is wanted.
template <class T, class... Parts>
void check_choices(const inputs<T>& in, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, parts...);
    const auto all = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
    for (int choice = 0; choice < 8; ++choice) {
        const heed::gradient_choice wanted{
            .q = (choice & 1) != 0, .k = (choice & 2) != 0, .v = (choice & 4) != 0};
        INFO("q " << wanted.q << ", k " << wanted.k << ", v " << wanted.v);
        const auto some = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...,
                                                   heed::wanted_gradients(wanted));
        check_wanted("dq", wanted.q, some.q, all.q);
        check_wanted("dk", wanted.k, some.k, all.k);
        check_wanted("dv", wanted.v, some.v, all.v);
        const auto check_learned = [](const auto& a, const auto& b) { CHECK(same_bits(a, b)); };
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (check_learned(std::get<I>(some.learned), std::get<I>(all.learned)), ...);
        }
        (std::make_index_sequence<std::tuple_size_v<decltype(all.learned)>>());
    }
}

TEST_CASE("the gradients that are wanted have the same bits, beside what is learned") {
    generator random(131);
    for (const extents& e : {extents{2, 4, 2, 37, 70, 8, 5}, extents{1, 2, 1, 400, 600, 8, 16}}) {
        const inputs<float> in(random, e);
        Eigen::MatrixXf a(e.heads, e.dim), c(e.kv_heads, e.dim);
        random.fill_normal(a);
        random.fill_normal(c);
        const tensor4<float> b = to_tensor<float>(random_numbers(random, 1, 1, 1, e.keys));
        check_choices(in, heed::causal, heed::learn(heed::bias(b)));
        check_choices(in, heed::learn(heed::scale(0.3)), heed::learn(heed::query_bias(a)),
                      heed::learn(heed::key_bias(c)));
    }
}

TEST_CASE("they have under a rectified encoding, and with a normaliser of whole rows") {
    generator random(132);
    const inputs<double> in(random, {1, 2, 1, 70, 300, 8, 8});
    const auto rope = heed::rope::plain({.dim = 8});
    check_choices(in, heed::causal, heed::rectified_rotary(rope, 20));
    check_choices(in, heed::causal, heed::entmax15);
    inputs<double> dense = in;  // scores near 0: rows without a short support
    dense.q = in.q * 0.01;
    check_choices(dense, heed::entmax15);
}

TEST_CASE("they have where there are NaN, and on threads") {
    generator random(133);
    inputs<float> in(random, {2, 2, 2, 300, 600, 8, 8});
    in.v(1, 1, 599, 3) = std::numeric_limits<float>::quiet_NaN();  // the last query alone sees it
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal);
    const auto all = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal);
    Eigen::ThreadPool pool(3);
    const auto of_k = std::optional(heed::wanted_gradients({.q = false, .v = false}));
    const auto some = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               of_k, always_on(pool));
    CHECK(some.q.size() == 0);
    CHECK(some.v.size() == 0);
    index wrong = 0;
    for (index e = 0; e < all.k.size(); ++e) {
        const float x = some.k.data()[e], y = all.k.data()[e];
        if (!(x == y || (std::isnan(x) && std::isnan(y)))) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("what is not wanted of the caller's is left as it is") {
    generator random(134);
    const inputs<float> in(random, {1, 2, 2, 5, 7, 4, 4});
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v);
    const auto all = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v);
    tensor4<float> dq(1, 1, 1, 1), dk(1, 2, 7, 4), dv(1, 2, 7, 4);
    dq.setConstant(42);
    dv.setConstant(42);
    heed::attention_backward_into(heed::into(dq, dk, dv), in.d_o, o, stats, in.q, in.k, in.v,
                                  heed::wanted_gradients({.q = false, .v = false}));
    CHECK(dq(0) == 42);
    CHECK(dv(0, 1, 6, 3) == 42);
    CHECK(same_bits(dk, all.k));
    CHECK_THROWS_AS(heed::attention_backward_into(heed::into(dq, dk, dv), in.d_o, o, stats, in.q,
                                                  in.k, in.v, heed::wanted_gradients({.v = false})),
                    heed::shape_error);
}

TEST_CASE("the gradients that are wanted of 16-bit tensors") {
    using tensor16 = Eigen::Tensor<Eigen::bfloat16, 4, Eigen::RowMajor>;
    generator random(135);
    const inputs<float> in(random, {1, 2, 2, 5, 7, 4, 4});
    const tensor16 q = in.q.cast<Eigen::bfloat16>(), k = in.k.cast<Eigen::bfloat16>(),
                   v = in.v.cast<Eigen::bfloat16>(), d_o = in.d_o.cast<Eigen::bfloat16>();
    const auto [o, stats] = heed::attention_forward(q, k, v);
    const auto all = heed::attention_backward(d_o, o, stats, q, k, v);
    const auto some = heed::attention_backward(d_o, o, stats, q, k, v,
                                               heed::wanted_gradients({.q = false, .k = false}));
    CHECK(some.q.size() == 0);
    CHECK(same_bits(some.v, all.v));
    heed::arena scratch;
    const heed::detail::rounded_output<Eigen::bfloat16> unwanted({}, scratch);
    CHECK(unwanted.numbers().data == nullptr);  // by which kernels know what to leave out
}

}  // namespace test_wanted_gradients
