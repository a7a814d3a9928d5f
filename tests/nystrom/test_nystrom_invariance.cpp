#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/error.hpp>
#include <heed/core/workspace.hpp>
#include <heed/nystrom/nystrom_attention.hpp>
#include <heed/nystrom/residual_convolution.hpp>

#include "attention/problem.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/threads.hpp"

namespace test_nystrom_invariance {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

using options = heed::nystrom_options;

/// Everything that a call gives.
template <class T, class... Parts>
auto run(const inputs<T>& in, const options& how, const Parts&... parts) {
    const auto forward = heed::nystrom_attention_forward(in.q, in.k, in.v, how, parts...);
    auto gradient = heed::nystrom_attention_backward(in.d_o, forward.output, forward.stats, in.q,
                                                     in.k, in.v, how, parts...);
    return std::tuple_cat(std::tuple(forward.output, gradient.q, gradient.k, gradient.v),
                          gradient.learned);
}

template <class... Results>
void check_same(const std::tuple<Results...>& a, const std::tuple<Results...>& b) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto one = [&](std::size_t i, const auto& x, const auto& y) {
            INFO("result " << i << " of o, dq, dk, dv, learned");
            CHECK(same_bits(x, y));
        };
        (one(I, std::get<I>(a), std::get<I>(b)), ...);
    }
    (std::index_sequence_for<Results...>{});
}

const std::vector<options> all_inverses = {
    {.landmarks = 53},
    {.landmarks = 53, .rounds = 3},
    {.landmarks = 20, .inverse = heed::pseudo_inverse::svd},
    {.landmarks = 53, .inverse = heed::pseudo_inverse::none}};

TEST_CASE("Nyström attention has the same bits on any number of threads") {
    generator random(621);
    for (const extents& e : {extents{1, 1, 1, 2300, 2300, 8, 5}, {2, 4, 2, 97, 97, 5, 9}}) {
        const inputs<float> in(random, e);
        const auto w = random.matrix<float>(e.heads, 5);
        for (const options& how : all_inverses) {
            INFO(to_string(e) << ", inverse " << static_cast<int>(how.inverse));
            const auto parts = std::tuple(heed::learn(heed::scale(0.4)),
                                          heed::learn(heed::residual_convolution(w)));
            const auto with = [&](const auto&... resources) {
                return std::apply(
                    [&](const auto&... part) { return run(in, how, part..., resources...); },
                    parts);
            };
            const auto expected = with(heed::on_pool{.pool = nullptr});
            for (const int threads : {1, 2, 3}) {
                INFO(threads << " threads beside the caller's");
                Eigen::ThreadPool pool(threads);
                check_same(with(always_on(pool)), expected);
            }
        }
    }
}

TEST_CASE("a sequence's Nyström attention does not depend on its batch") {
    generator random(622);
    const inputs<double> in(random, {3, 4, 2, 60, 60, 5, 4});
    const auto sequence_of = [](const auto& x, index b, index rows) {
        using at = Eigen::array<index, 4>;
        return tensor4<double>(
            x.slice(at{b, 0, 0, 0}, at{1, x.dimension(1), rows, x.dimension(3)}));
    };
    const std::vector<index> lengths{60, 60, 31};
    for (const options& how : all_inverses) {
        const auto all = run(in, how, heed::key_lengths(lengths));
        for (index b = 0; b < 3; ++b) {
            const index rows = lengths[static_cast<std::size_t>(b)];
            inputs<double> own = in;
            for (auto* x : {&own.q, &own.k, &own.v, &own.d_o})
                *x = tensor4<double>(sequence_of(*x, b, rows));
            const auto alone = run(own, how);
            CHECK(same_bits(sequence_of(std::get<0>(all), b, rows), std::get<0>(alone)));
            CHECK(same_bits(sequence_of(std::get<1>(all), b, rows), std::get<1>(alone)));
            CHECK(same_bits(sequence_of(std::get<2>(all), b, rows), std::get<2>(alone)));
            CHECK(same_bits(sequence_of(std::get<3>(all), b, rows), std::get<3>(alone)));
        }
    }
}

template <class To, class From>
tensor4<To> rounded(const tensor4<From>& x) {
    tensor4<To> result(x.dimensions());
    for (index e = 0; e < x.size(); ++e) result.data()[e] = static_cast<To>(x.data()[e]);
    return result;
}

TEMPLATE_TEST_CASE("Nyström attention of 16-bit tensors is that of floats, rounded once", "",
                   Eigen::bfloat16, Eigen::half) {
    using S = TestType;
    generator random(624);
    for (const extents& e : {extents{2, 4, 2, 61, 61, 5, 9}, {1, 1, 1, 0, 0, 4, 4}}) {
        const inputs<S> in(random, e);
        const auto q = rounded<float>(in.q), k = rounded<float>(in.k), v = rounded<float>(in.v);
        const auto w = random.matrix<float>(e.heads, 3);
        const auto convolution = heed::learn(heed::residual_convolution(w));
        std::vector<index> numbers(static_cast<std::size_t>(e.batch), e.keys);
        numbers.back() = e.keys / 2;
        const auto lengths = heed::key_lengths(numbers);
        for (const options& how : all_inverses) {
            INFO(to_string(e) << ", inverse " << static_cast<int>(how.inverse));
            auto wide = heed::nystrom_attention_forward(q, k, v, how, convolution, lengths);
            auto of = heed::nystrom_attention_forward(in.q, in.k, in.v, how, convolution, lengths);
            CHECK(same_bits(of.output, rounded<S>(wide.output)));
            const auto expected =
                heed::nystrom_attention_backward(rounded<float>(in.d_o), rounded<float>(of.output),
                                                 wide.stats, q, k, v, how, convolution, lengths);
            const auto gradient = heed::nystrom_attention_backward(
                in.d_o, of.output, of.stats, in.q, in.k, in.v, how, convolution, lengths);
            CHECK(same_bits(gradient.q, rounded<S>(expected.q)));
            CHECK(same_bits(gradient.k, rounded<S>(expected.k)));
            CHECK(same_bits(gradient.v, rounded<S>(expected.v)));
            CHECK(same_bits(gradient.template of<0>(), expected.template of<0>()));  // float
        }
    }
    const inputs<S> in(random, {1, 2, 1, 7, 7, 4, 4});
    auto q_and_o = in.q;
    CHECK_THROWS_AS(heed::nystrom_attention_into(q_and_o, q_and_o, in.k, in.v, {}),
                    heed::argument_error);
    CHECK(same_bits(q_and_o, in.q));
}

/// What f() allocates once it has run a few times.
template <class F>
std::size_t allocations_of(const F& f) {
    for (int round = 0; round < 3; ++round) f();
    const std::size_t before = allocations();
    for (int round = 0; round < 5; ++round) f();
    return allocations() - before;
}

template <class T, class... Parts>
void check_nothing_allocated(const inputs<T>& in, const options& how, const Parts&... parts) {
    INFO("inverse " << static_cast<int>(how.inverse));
    tensor4<T> o(in.d_o.dimensions());
    heed::nystrom_stats_for<T, Parts...> stats;
    CHECK(allocations_of(
              [&] { heed::nystrom_attention_into(o, in.q, in.k, in.v, how, parts...); }) == 0);
    CHECK(allocations_of([&] {
              heed::nystrom_attention_forward_into(o, stats, in.q, in.k, in.v, how, parts...);
          }) == 0);
    auto gradient =
        heed::nystrom_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, how, parts...);
    CHECK(allocations_of([&] {
              heed::nystrom_attention_backward_into(gradient, in.d_o, o, stats, in.q, in.k, in.v,
                                                    how, parts...);
          }) == 0);
}

TEST_CASE("the second call of Nyström attention allocates nothing") {
    generator random(623);
    const inputs<float> in(random, {2, 4, 2, 80, 80, 5, 9});
    const auto w = random.matrix<float>(4, 3);
    const std::vector<index> lengths{80, 33};
    for (const options& how : all_inverses) {
        heed::workspace memory;
        check_nothing_allocated(in, how, heed::in(memory));
        check_nothing_allocated(in, how, heed::key_lengths(lengths), heed::learn(heed::scale(0.3)),
                                heed::learn(heed::residual_convolution(w)));
    }
    Eigen::ThreadPool pool(2);
    await_threads(pool);
    check_nothing_allocated(in, {.landmarks = 20}, always_on(pool));
    const inputs<Eigen::half> stored(random, {2, 4, 2, 80, 80, 5, 9});
    check_nothing_allocated(stored, {.landmarks = 20}, always_on(pool));
    // Nor where there are more keys than a piece.
    const inputs<float> longer(random, {1, 2, 2, 5, 4500, 4, 4});
    check_nothing_allocated(longer, {.landmarks = 5}, heed::softmax.temperature(2));
}

}  // namespace test_nystrom_invariance
