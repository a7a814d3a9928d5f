#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/attention_weights.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>

#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_errors {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr extents sizes = refused_sizes;

/// The call, forward and backward, refuses these inputs.
template <class Error, class Q, class K, class V>
void check_inputs_refused(const std::string& message, const Q& q, const K& k, const V& v) {
    outputs to(sizes);
    check_refused<Error>(message, [&] { heed::attention_into(to.o, q, k, v); });
    heed::stats_for<float> stats;
    check_refused<Error>(message, [&] { heed::attention_forward_into(to.o, stats, q, k, v); });
    check_refused<Error>(message, [&] {
        heed::attention_backward_into(heed::into(to.dq, to.dk, to.dv), to.o, to.o, stats, q, k, v);
    });
    check_refused<Error>(message, [&] { heed::attention(q, k, v); });
    check_refused<Error>(message, [&] { heed::attention_backward(to.o, to.o, stats, q, k, v); });
    CHECK(to.are_untouched());
}

TEST_CASE("shapes that do not fit one another") {
    const auto of = [](index b, index h, index n, index d) {
        tensor4<float> x(b, h, n, d);
        x.setConstant(1);
        return x;
    };
    const auto q = of(2, 4, 6, 4), k = of(2, 2, 8, 4), v = of(2, 2, 8, 5);
    check_inputs_refused<heed::shape_error>(
        "q has shape [2, 4, 6, 4] and k has shape [2, 2, 8, 3], but their last axes must be the "
        "same",
        q, of(2, 2, 8, 3), v);
    check_inputs_refused<heed::shape_error>(
        "q has 4 heads and k has 3, but those of k must divide those of q", q, of(2, 3, 8, 4),
        of(2, 3, 8, 5));
    check_inputs_refused<heed::shape_error>(
        "k has shape [2, 2, 8, 4] and v has shape [2, 2, 7, 5], but they must have the same heads "
        "and the same sequence",
        q, k, of(2, 2, 7, 5));
    check_inputs_refused<heed::shape_error>(
        "k has shape [2, 2, 8, 4] and v has shape [2, 4, 8, 5], but they must have the same heads "
        "and the same sequence",
        q, k, of(2, 4, 8, 5));
    check_inputs_refused<heed::shape_error>(
        "q, k and v have shapes [2, 4, 6, 4], [3, 2, 8, 4] and [3, 2, 8, 5], but their batches "
        "must be the same",
        q, of(3, 2, 8, 4), of(3, 2, 8, 5));
    check_inputs_refused<heed::shape_error>(
        "q has shape [2, 4, 6, 0], but its last axis must not be empty", of(2, 4, 6, 0),
        of(2, 2, 8, 0), v);
    check_inputs_refused<heed::shape_error>(
        "v has shape [2, 2, 8, 0], but its last axis must not be empty", q, k, of(2, 2, 8, 0));
    check_inputs_refused<heed::shape_error>(
        "q has 4 heads and k has 0, but those of k must divide those of q", q, of(2, 0, 8, 4),
        of(2, 0, 8, 5));
    check_inputs_refused<heed::shape_error>(
        "q has 0 heads and k has 2, but those of k must divide those of q", of(2, 0, 6, 4), k, v);
}

TEST_CASE("views of nothing, and of more than there can be") {
    const tensor4<float> q(2, 4, 6, 4), k(2, 2, 8, 4), v(2, 2, 8, 5);
    const float* nothing = nullptr;
    check_inputs_refused<heed::shape_error>(
        "q is a null pointer with shape [2, 4, 6, 4], but only an empty view may be null",
        heed::view(nothing, {2, 4, 6, 4}), k, v);
    check_inputs_refused<heed::shape_error>(
        "v is a null pointer with shape [2, 2, 8, 5], but only an empty view may be null", q, k,
        heed::view(nothing, {2, 2, 8, 5}));
    check_inputs_refused<heed::shape_error>(
        "k has shape [2, 2, -8, 4], but extents must not be negative", q,
        heed::view(k.data(), {2, 2, -8, 4}), v);
    constexpr index huge = index(1) << 40;
    check_inputs_refused<heed::shape_error>(
        "q has shape [1099511627776, 1, 1099511627776, 4] with strides [4398046511104, 0, 4, 1], "
        "but its size in bytes must fit in 64 bits",
        heed::view(q.data(), {huge, index(1), huge, index(4)},
                   {4 * huge, index(0), index(4), index(1)}),
        k, v);
    // A result may be too large where no input is.
    check_refused<heed::shape_error>(
        "o would have shape [1099511627776, 1, 65536, 512], but its size in bytes must fit in 64 "
        "bits",
        [&] {
            const auto few =
                heed::view(k.data(), {huge, index(1), index(1), index(1)}, {0, 0, 0, 1});
            heed::attention(
                heed::view(q.data(), {huge, index(1), index(65536), index(1)}, {0, 0, 0, 1}), few,
                heed::view(v.data(), {huge, index(1), index(1), index(512)}, {0, 0, 0, 0}));
        });
    check_inputs_refused<heed::shape_error>(
        "k has 2147483648 keys, but there may be 2^31 - 1 at most",
        heed::view(q.data(), {1, 1, 6, 1}),
        heed::view(k.data(), {index(1), index(1), index(1) << 31, index(1)}, {0, 0, 0, 1}),
        heed::view(v.data(), {index(1), index(1), index(1) << 31, index(1)}, {0, 0, 0, 1}));
}

TEST_CASE("an empty view may be null, whatever its strides") {
    tensor4<float> q(2, 2, 3, 8), o(2, 2, 3, 8);
    q.setConstant(1);
    const float* nothing = nullptr;
    const auto keys = heed::view(nothing, {2, 2, 0, 8}, {200, 100, 8, 1});
    o.setConstant(42);
    heed::attention_into(o, q, keys, keys);
    CHECK(std::all_of(o.data(), o.data() + o.size(), [](float x) { return x == 0; }));
    const auto queries = heed::view(nothing, {2, 2, 0, 8}, {200, 100, 1, 3});
    CHECK(heed::attention(queries, q, q).size() == 0);
}

TEST_CASE("a matrix of attention whose size does not fit in 64 bits") {
    float number = 0;
    const auto many = [&](index rows) { return heed::view(&number, {rows, index(1)}, {0, 0}); };
    constexpr index keys = (index(1) << 31) - 1;
    check_refused<heed::shape_error>(
        "p would have shape [1, 1, 2147483648, 2147483647], but its size in bytes must fit in 64 "
        "bits",
        [&] { heed::attention_weights(many(index(1) << 31), many(keys)); });
    check_refused<heed::shape_error>(
        "a unit vector a key would have shape [1, 4, 2147483647, 2147483647], but its size in "
        "bytes must fit in 64 bits",
        [&] {
            heed::detail::unit_values<float>({1, 4, 4, 1, keys, 1, 1});
        });
}

TEST_CASE("outputs of another shape, or in the memory of an input") {
    generator random(101);
    const inputs<float> in(random, sizes);
    const inputs<float> before = in;
    tensor4<float> small(2, 4, 6, 4);
    small.setConstant(42);
    check_refused<heed::shape_error>("o has shape [2, 4, 6, 4], but must have [2, 4, 6, 5]",
                                     [&] { heed::attention_into(small, in.q, in.k, in.v); });
    check_refused<heed::shape_error>(
        "o is a null pointer with shape [2, 4, 6, 5], but only an empty view may be null", [&] {
            heed::attention_into(heed::view(static_cast<float*>(nullptr), {2, 4, 6, 5}), in.q, in.k,
                                 in.v);
        });
    CHECK((small.data()[0] == 42 && small.data()[small.size() - 1] == 42));

    // Overlap: in part, and of one element only.
    const extents same{2, 4, 4, 8, 8, 4, 4};  // so that each may stand for another
    inputs<float> own(random, same);
    const auto untouched = own;
    // Every tensor has this shape; the message says both.
    const auto message = [](const std::string& output, const std::string& input) {
        return output + " (shape [2, 4, 8, 4]) overlaps " + input +
               " (shape [2, 4, 8, 4]) in memory, but outputs must lie apart from inputs";
    };
    check_refused<heed::argument_error>(message("o", "q"),
                                        [&] { heed::attention_into(own.q, own.q, own.k, own.v); });
    check_refused<heed::argument_error>(message("o", "k"),
                                        [&] { heed::attention_into(own.k, own.q, own.k, own.v); });
    check_refused<heed::argument_error>(message("o", "v"),
                                        [&] { heed::attention_into(own.v, own.q, own.k, own.v); });
    std::vector<float> memory(2 * 4 * 8 * 4 * 2 - 1, 1.F);
    check_refused<heed::argument_error>(message("o", "q"), [&] {
        heed::attention_into(heed::view(memory.data() + 2 * 4 * 8 * 4 - 1, {2, 4, 8, 4}),
                             heed::view(memory.data(), {2, 4, 8, 4}), own.k, own.v);
    });

    // An output whose elements are one another's memory.
    check_refused<heed::argument_error>(
        "o has shape [2, 4, 8, 4] with strides [0, 0, 4, 1], but the elements of an output must "
        "not share memory",
        [&] {
            heed::attention_into(heed::view(memory.data(), {2, 4, 8, 4}, {0, 0, 4, 1}), own.q,
                                 own.k, own.v);
        });

    auto kept = heed::attention_forward(own.q, own.k, own.v);
    auto& o = kept.output;
    const auto& stats = kept.stats;
    outputs to(same);
    const auto backward = [&](auto& dq, auto& dk, auto& dv) {
        heed::attention_backward_into(heed::into(dq, dk, dv), own.d_o, o, stats, own.q, own.k,
                                      own.v);
    };
    check_refused<heed::argument_error>(message("dq", "q"), [&] { backward(own.q, to.dk, to.dv); });
    check_refused<heed::argument_error>(message("dk", "v"), [&] { backward(to.dq, own.v, to.dv); });
    check_refused<heed::argument_error>(message("dv", "d_o"),
                                        [&] { backward(to.dq, to.dk, own.d_o); });
    check_refused<heed::argument_error>(message("dv", "o"), [&] { backward(to.dq, to.dk, o); });
    const auto outputs_message = [](const std::string& one, const std::string& other) {
        return one + " (shape [2, 4, 8, 4]) overlaps " + other +
               " (shape [2, 4, 8, 4]) in memory, but outputs must lie apart from one another";
    };
    check_refused<heed::argument_error>(outputs_message("dq", "dk"),
                                        [&] { backward(to.dq, to.dq, to.dv); });
    check_refused<heed::argument_error>(outputs_message("dk", "dv"),
                                        [&] { backward(to.dq, to.dk, to.dk); });
    check_refused<heed::shape_error>("dk has shape [2, 4, 6, 4], but must have [2, 4, 8, 4]",
                                     [&] { backward(to.dq, small, to.dv); });
    CHECK(to.are_untouched());
    CHECK(same_bits(own.q, untouched.q));
    CHECK(same_bits(own.k, untouched.k));
    CHECK(same_bits(own.v, untouched.v));
    CHECK(same_bits(in.q, before.q));
}

TEST_CASE("what backward is given must be of the call") {
    generator random(102);
    const inputs<float> in(random, sizes);
    auto kept = heed::attention_forward(in.q, in.k, in.v);
    auto& o = kept.output;
    const auto& stats = kept.stats;
    const inputs<float> other(random, {2, 4, 2, 7, 8, 4, 5});
    const auto other_stats = heed::attention_forward(other.q, other.k, other.v).stats;
    outputs to(sizes);
    const auto grad = [&] { return heed::into(to.dq, to.dk, to.dv); };
    check_refused<heed::shape_error>(
        "stats are those of q, k and v of shapes [2, 4, 7, 4], [2, 2, 8, 4] and [2, 2, 8, 5], but "
        "must be those of [2, 4, 6, 4], [2, 2, 8, 4] and [2, 2, 8, 5]",
        [&] { heed::attention_backward_into(grad(), in.d_o, o, other_stats, in.q, in.k, in.v); });
    check_refused<heed::shape_error>("d_o has shape [2, 4, 7, 5], but must have [2, 4, 6, 5]", [&] {
        heed::attention_backward_into(grad(), other.d_o, o, stats, in.q, in.k, in.v);
    });
    check_refused<heed::shape_error>("o has shape [2, 4, 7, 5], but must have [2, 4, 6, 5]", [&] {
        heed::attention_backward_into(grad(), in.d_o, other.d_o, stats, in.q, in.k, in.v);
    });
    const auto with_lse = [&](const auto& d_lse) {
        heed::attention_backward_into(grad(), in.d_o, o, stats, in.q, in.k, in.v,
                                      heed::log_sum_exp_gradient(d_lse));
    };
    check_refused<heed::shape_error>(
        "the gradient of the log-sum-exp has shape [2, 4, 7], but must have [2, 4, 6]", [&] {
            with_lse(heed::view(in.q.data(), {2, 4, 7}));
        });
    check_refused<heed::shape_error>(
        "the gradient of the log-sum-exp is a null pointer with shape [2, 4, 6], but only an "
        "empty view may be null",
        [&] {
            with_lse(heed::view(static_cast<const float*>(nullptr), {2, 4, 6}));
        });
    check_refused<heed::argument_error>(
        "dq (shape [2, 4, 6, 4]) overlaps the gradient of the log-sum-exp (shape [2, 4, 6]) in "
        "memory, but outputs must lie apart from inputs",
        [&] {
            with_lse(heed::view(static_cast<const float*>(to.dq.data()), {2, 4, 6}));
        });
    CHECK(to.are_untouched());
}

TEST_CASE("gradients of what is learned must be of its shape, and of memory of their own") {
    generator random(103);
    const inputs<float> in(random, sizes);
    tensor4<float> bias(1, 4, 6, 8), other(1, 4, 6, 7);
    bias.setConstant(0.5F);
    const std::vector<float> slopes(4, 0.25F);
    const auto parts = std::tuple(heed::learn(heed::bias(bias)), heed::learn(heed::alibi(slopes)));
    const auto& learned_bias = std::get<0>(parts);
    const auto& learned_slopes = std::get<1>(parts);
    auto kept = heed::attention_forward(in.q, in.k, in.v, learned_bias, learned_slopes);
    auto& o = kept.output;
    const auto& stats = kept.stats;
    outputs to(sizes);
    const auto backward = [&](auto&& d_bias, auto&& d_slopes) {
        heed::attention_backward_into(heed::into(to.dq, to.dk, to.dv, d_bias, d_slopes), in.d_o, o,
                                      stats, in.q, in.k, in.v, learned_bias, learned_slopes);
    };
    tensor4<float> d_bias(1, 4, 6, 8);
    d_bias.setConstant(42);
    Eigen::VectorXf d_slopes = Eigen::VectorXf::Constant(4, 42), three(3);
    check_refused<heed::shape_error>(
        "the gradient of heed::bias has shape [1, 4, 6, 7] and the bias has shape [1, 4, 6, 8], "
        "but the two must be the same",
        [&] { backward(other, d_slopes); });
    check_refused<heed::shape_error>(
        "the gradient of heed::alibi has shape [3, 1], but must be a vector of length 4",
        [&] { backward(d_bias, three); });
    const auto message = [](const std::string& shape, const std::string& with,
                            const std::string& others = "inputs") {
        return "the gradient of a learned part (shape " + shape + ") overlaps " + with +
               " in memory, but outputs must lie apart from " + others;
    };
    const std::string one_another = "one another";
    check_refused<heed::argument_error>(
        message("[1, 4, 6, 8]", "dq (shape [2, 4, 6, 4])", one_another), [&] {
            backward(heed::view(to.dq.data(), {1, 4, 6, 8}), d_slopes);
        });
    check_refused<heed::argument_error>(message("[4]", "q (shape [2, 4, 6, 4])"), [&] {
        auto& q = const_cast<tensor4<float>&>(in.q);
        backward(d_bias, heed::view(q.data(), {4}));
    });
    check_refused<heed::argument_error>(
        message("[1, 4, 6, 8]", "that of another (shape [4])", one_another),
        [&] { backward(d_bias, heed::view(d_bias.data(), {4})); });
    check_refused<heed::argument_error>(message("[1, 4, 6, 8]", "heed::bias (shape [1, 4, 6, 8])"),
                                        [&] { backward(bias, d_slopes); });
    const auto over_slopes = heed::view(const_cast<float*>(slopes.data()), {4});
    check_refused<heed::argument_error>(message("[4]", "heed::alibi (shape [4])"),
                                        [&] { backward(d_bias, over_slopes); });
    // Nor may the gradient of one part lie over another part's numbers, or dq over either's.
    check_refused<heed::argument_error>(message("[4]", "heed::bias (shape [1, 4, 6, 8])"), [&] {
        backward(d_bias, heed::view(bias.data() + 188, {4}));
    });
    check_refused<heed::argument_error>(
        "dq (shape [2, 4, 6, 4]) overlaps heed::bias (shape [1, 4, 6, 8]) in memory, but outputs "
        "must lie apart from inputs",
        [&] {
            heed::attention_backward_into(
                heed::into(heed::view(bias.data(), {2, 4, 6, 4}), to.dk, to.dv, d_bias, d_slopes),
                in.d_o, o, stats, in.q, in.k, in.v, learned_bias, learned_slopes);
        });
    // What cannot be is refused before memory for its gradient is asked for.
    check_refused<heed::shape_error>(
        "heed::bias has shape [-4, 8], but extents must not be negative", [&] {
            heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                     heed::learn(heed::bias(heed::view(bias.data(), {-4, 8}))),
                                     learned_slopes);
        });
    CHECK(to.are_untouched());
    CHECK(d_bias.data()[5] == 42);
    CHECK((d_slopes.array() == 42).all());
}

}  // namespace test_attention_errors
