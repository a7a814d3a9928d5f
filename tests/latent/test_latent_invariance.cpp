// A row of latent attention is the same to the bit, whoever computes it, beside whatever.

#include <cstddef>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "attention/problem.hpp"
#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"

namespace test_latent {

/// Sequences b … b + count − 1, and of each the first `tokens` rows.
template <class T>
tensor<T> part_of(const tensor<T>& x, index b, index count, index tokens) {
    return x.slice(Eigen::array<Eigen::Index, 3>{b, 0, 0},
                   Eigen::array<Eigen::Index, 3>{count, tokens, x.dimension(2)});
}

TEMPLATE_TEST_CASE("latent attention has the same bits for threads, batches and lengths", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(730);
    Eigen::ThreadPool two(2), five(5);
    for (const variant& of : variants()) {
        INFO(to_string(of));
        const layer<T> from(random, of);
        const auto mla = from.attention();
        const tensor<T> x = random.tensor<T>(3, 61, of.model);
        const tensor<T> dy = random.tensor<T>(3, 61, of.outputs);
        const auto [y, saved] = mla.forward(x);
        const auto gradient = mla.backward(dy, x, saved);
        for (auto* pool : {&two, &five}) {
            heed::workspace scratch;
            const auto other = mla.forward(x, heed::on(*pool), heed::in(scratch));
            CHECK(same_bits(other.y, y));
            const auto back = mla.backward(dy, x, other.saved, heed::in(scratch), heed::on(*pool));
            CHECK(same_bits(back.x, gradient.x));
            heed::for_each_latent_weight(back.weights, gradient.weights,
                                         [](auto name, const auto& a, const auto& b) {
                                             INFO(name);
                                             CHECK(same_bits(a, b));
                                         });
        }
        for (const index b : {0, 1, 2}) {
            const tensor<T> alone = part_of(x, b, 1, 61), dy_alone = part_of(dy, b, 1, 61);
            const auto one = mla.forward(alone);
            CHECK(same_bits(one.y, part_of(y, b, 1, 61)));
            CHECK(same_bits(mla.backward(dy_alone, alone, one.saved).x,
                            part_of(gradient.x, b, 1, 61)));
        }
        for (const index tokens : {1, 2, 30})  // what comes behind is not seen
            CHECK(same_bits(mla.forward(part_of(x, 0, 3, tokens)).y, part_of(y, 0, 3, tokens)));
    }
}

TEST_CASE("latent attention has the same bits where every step has work for several threads") {
    heed_test::generator random(732);
    variant of = variants().back();
    of.heads = 8;
    of.content = 28;
    of.value = 32;
    of.gates = 32;
    of.rank = 48;
    of.query_rank = 64;
    of.model = of.outputs = 256;
    const layer<float> from(random, of);
    const auto mla = from.attention();
    const tensor<float> x = random.tensor<float>(2, 311, of.model);
    const tensor<float> dy = random.tensor<float>(2, 311, of.outputs);
    const auto [y, saved] = mla.forward(x);
    const auto gradient = mla.backward(dy, x, saved);
    Eigen::ThreadPool pool(4);
    const auto threads = heed_test::always_on(pool);
    const auto other = mla.forward(x, threads);
    CHECK(same_bits(other.y, y));
    const auto back = mla.backward(dy, x, other.saved, threads);
    CHECK(same_bits(back.x, gradient.x));
    heed::for_each_latent_weight(back.weights, gradient.weights,
                                 [](auto name, const auto& a, const auto& b) {
                                     INFO(name);
                                     CHECK(same_bits(a, b));
                                 });
    for (const bool absorbed : {false, true}) {
        const auto over_cache = [&](const auto&... extras) {
            auto cache = mla.make_cache<float>({.batch = 2, .capacity = 311});
            return absorbed ? mla.decode(x, cache, extras...) : mla.prefill(x, cache, extras...);
        };
        CHECK(same_bits(over_cache(threads), over_cache()));
    }

    // One token of one sequence: heads are shared out.
    const tensor<float> text = part_of(x, 0, 1, 300);
    auto cache = mla.make_cache<float>();
    (void)mla.prefill(text, cache);
    for (const index tokens : {1, 3}) {
        const tensor<float> next = part_of(x, 1, 1, tokens);
        const tensor<float> alone = mla.decode(next, cache);
        cache.truncate(0, 300);
        CHECK(same_bits(mla.decode(next, cache, threads), alone));
        cache.truncate(0, 300);
    }
}

TEST_CASE("a step of latent attention with nothing to do is for no thread beside the caller's") {
    Eigen::ThreadPool pool(2);
    const heed::detail::latent_resources ready(heed::on_pool{&pool, 0});
    CHECK(ready.helpers_for(0) == 0);
    CHECK(ready.helpers_for(1) == 2);
}

TEST_CASE("latent attention takes rows of any kind, and weights of any strides") {
    heed_test::generator random(731);
    const layer<float> from(random, variants().back());
    const auto mla = from.attention();
    const tensor<float> x = random.tensor<float>(2, 9, from.of.model);
    const tensor<float> dy = random.tensor<float>(2, 9, from.of.outputs);
    const auto [y, saved] = mla.forward(x);
    const auto gradient = mla.backward(dy, x, saved);

    const Eigen::Tensor<float, 3> columns = x.swap_layout().shuffle(Eigen::array<int, 3>{2, 1, 0});
    const Eigen::Tensor<float, 3> of_columns = mla.forward(columns).y;
    const Eigen::Tensor<float, 3> dx_of_columns = mla.backward(dy, columns, saved).x;
    bool same = true;
    for (index b = 0; b < 2; ++b)
        for (index i = 0; i < 9; ++i) {
            for (index c = 0; c < y.dimension(2); ++c) same &= of_columns(b, i, c) == y(b, i, c);
            for (index c = 0; c < x.dimension(2); ++c)
                same &= dx_of_columns(b, i, c) == gradient.x(b, i, c);
        }
    CHECK(same);
    const Eigen::MatrixXf one = sequence_of(x, 1);
    const Eigen::MatrixXf y_of_one = mla.forward(one * 1.0F).y;
    for (index i = 0; i < 9; ++i)
        for (index c = 0; c < y.dimension(2); ++c) same &= y_of_one(i, c) == y(1, i, c);
    CHECK(same);

    // The same weights, column-major: the same numbers.
    const Eigen::MatrixXf o_proj = from.numbers.o_proj, kv_b_proj = from.numbers.kv_b_proj;
    auto weights = from.weights();
    weights.o_proj = o_proj;
    weights.kv_b_proj = kv_b_proj;
    const heed::latent_attention<float> turned(weights, from.of.options(), *from.of.rope);
    CHECK(same_bits(turned.forward(x).y, y));
}

}  // namespace test_latent
