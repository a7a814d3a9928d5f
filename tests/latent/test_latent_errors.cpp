// What latent attention refuses, and in which words.

#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"
#include "support/refused.hpp"

namespace test_latent {

using heed::argument_error;
using heed::shape_error;
using heed_test::check_refused;

variant compressed() {
    variant of;
    of.compresses_queries = of.is_biased = true;
    of.gates = 1;
    return of;
}

TEST_CASE("options of latent attention have ranges") {
    heed_test::generator random(740);
    const layer<float> from(random, {});
    const auto with = [&](auto&& change) {
        return [&, change] {
            auto options = from.of.options();
            change(options);
            heed::latent_attention<float>(from.weights(), options);
        };
    };
    check_refused<argument_error>(
        "heed::latent_attention: heads is 0, but must be at least 1 and below 2^28",
        with([](auto& o) { o.heads = 0; }));
    check_refused<argument_error>(
        "heed::latent_attention: rotated is -2, but must be at least 0 and below 2^28",
        with([](auto& o) { o.rotated = -2; }));
    check_refused<argument_error>(
        "heed::latent_attention: epsilon is -1, but must be finite and not negative",
        with([](auto& o) { o.epsilon = -1; }));
    check_refused<argument_error>(
        "heed::latent_attention: stretch is 0, but must be finite and above 0",
        with([](auto& o) { o.stretch = 0; }));
    const auto refused = [&](auto&& change) { CHECK_THROWS_AS(with(change)(), argument_error); };
    refused([](auto& o) { o.content = o.rotated = 0; });
    refused([](auto& o) { o.content = -1; });
    refused([](auto& o) { o.value = -1; });
    refused([](auto& o) { o.rank = 0; });
    refused([](auto& o) { o.rank = std::numeric_limits<long>::max(); });
    refused([](auto& o) { o.mscale_all_dim = std::numeric_limits<double>::quiet_NaN(); });
}

TEST_CASE("weights of latent attention are missed, refused and measured by name") {
    heed_test::generator random(741);
    const layer<float> plain(random, {}), full(random, compressed());
    const auto with = [](const layer<float>& from, auto&& change) {
        return [&, change] {
            auto weights = from.weights();
            change(weights);
            heed::latent_attention<float>(weights, from.of.options());
        };
    };
    check_refused<argument_error>(
        "heed::latent_attention: kv_a_layernorm is not given, but c is normed",
        with(plain, [](auto& w) { w.kv_a_layernorm = {}; }));
    check_refused<argument_error>(
        "heed::latent_attention: kv_b_proj is not given, but every latent attention has one",
        with(plain, [](auto& w) { w.kv_b_proj = {}; }));
    variant not_normed;
    not_normed.normed = false;
    const layer<float> without_norm(random, not_normed);
    check_refused<argument_error>(
        "heed::latent_attention: kv_a_layernorm is given, but c is not normed",
        with(without_norm, [&](auto& w) { w.kv_a_layernorm = plain.numbers.kv_a_layernorm; }));
    check_refused<argument_error>(
        "heed::latent_attention: q_proj is not given, but there is no q_a_proj to compress queries",
        with(plain, [](auto& w) { w.q_proj = {}; }));
    check_refused<argument_error>(
        "heed::latent_attention: q_b_proj is given, but there is no q_a_proj to compress queries",
        with(plain, [&](auto& w) { w.q_b_proj = full.numbers.q_b_proj; }));
    check_refused<argument_error>(
        "heed::latent_attention: q_proj is given, but q_a_proj compresses queries",
        with(full, [&](auto& w) { w.q_proj = plain.numbers.q_proj; }));
    check_refused<argument_error>(
        "heed::latent_attention: q_a_layernorm is not given, but q_a_proj compresses queries",
        with(full, [&](auto& w) { w.q_a_layernorm = {}; }));

    const Eigen::MatrixXf wrong = Eigen::MatrixXf::Zero(2, 3);
    const Eigen::VectorXf four = Eigen::VectorXf::Zero(4);
    check_refused<shape_error>(
        "heed::latent_attention: kv_b_proj has shape [2, 3], but must have [33, 7]",
        with(plain, [&](auto& w) { w.kv_b_proj = wrong; }));
    check_refused<shape_error>(
        "heed::latent_attention: q_proj has shape [2, 3], but must have [27, 10]",
        with(plain, [&](auto& w) { w.q_proj = wrong; }));
    check_refused<shape_error>(
        "heed::latent_attention: g_proj has shape [2, 3], but must have [18, 10]",
        with(full, [&](auto& w) { w.g_proj = wrong; }));
    check_refused<shape_error>(
        "heed::latent_attention: o_proj_bias has shape [4], but must have [9]",
        with(full, [&](auto& w) { w.o_proj_bias = four; }));
    check_refused<shape_error>("a vector of weights has shape [2, 3], but must be a vector",
                               with(full, [&](auto& w) { w.kv_a_layernorm = wrong; }));
    for (auto member :
         {&heed::latent_weights<float>::q_a_proj, &heed::latent_weights<float>::q_b_proj,
          &heed::latent_weights<float>::kv_a_proj_with_mqa, &heed::latent_weights<float>::o_proj})
        CHECK_THROWS_AS(with(full, [&](auto& w) { w.*member = wrong; })(), shape_error);
    const auto nowhere = heed::view(static_cast<const float*>(nullptr), {33, 7});
    CHECK_THROWS_AS(with(plain, [&](auto& w) { w.kv_b_proj = nowhere; })(), shape_error);

    // Vectors may be any that lie in memory.
    std::vector<float> gamma(7, 1.0F);
    auto weights = plain.weights();
    weights.kv_a_layernorm = gamma;
    CHECK_NOTHROW(heed::latent_attention<float>(weights, plain.of.options()));

    const auto too_long = heed::rope::plain({.dim = 6});
    check_refused<shape_error>(
        "heed::latent_attention: rope rotates 6 dimensions, but rotated is 4",
        [&] { heed::latent_attention<float>(plain.weights(), plain.of.options(), too_long); });
}

TEST_CASE("rows of latent attention fit its weights, and one another") {
    heed_test::generator random(742);
    const layer<float> from(random, {});
    const auto mla = from.attention();
    const tensor<float> x = random.tensor<float>(2, 3, 10), y = random.tensor<float>(2, 3, 9);
    check_refused<shape_error>(
        "x has shape [2, 3, 9], but kv_a_proj_with_mqa takes rows of 10 numbers",
        [&] { mla.forward(y); });
    CHECK_THROWS_AS(mla.forward(heed::view(x.data(), {2, -3, 10})), shape_error);
    const auto [out, saved] = mla.forward(x);
    check_refused<shape_error>("dy has shape [2, 3, 10], but y of x has [2, 3, 9]",
                               [&, &kept = saved] { mla.backward(x, x, kept); });
    const tensor<float> shorter = random.tensor<float>(2, 2, 10),
                        dy = random.tensor<float>(2, 2, 9);
    check_refused<shape_error>(
        "saved holds queries of shape [2, 3, 27], but those of x have shape [2, 2, 27]",
        [&, &kept = saved] { mla.backward(dy, shorter, kept); });
    check_refused<shape_error>(
        "saved holds queries of shape [0, 0, 0], but those of x have shape [2, 3, 27]",
        [&] { mla.backward(y, x, heed::latent_saved<float>()); });
    CHECK(out.dimension(2) == 9);

    // Another layer's, of whose numbers some are as many.
    const auto refused_from = [&](const variant& of, const char* what) {
        const layer<float> another(random, of);
        const auto other = another.attention().forward(x);
        check_refused<shape_error>(what, [&] { mla.backward(y, x, other.saved); });
    };
    refused_from({.rank = 6},
                 "saved holds compressed rows of shape [2, 3, 10], but those of x have shape "
                 "[2, 3, 11]");
    refused_from({.compresses_queries = true},
                 "saved holds compressed queries of shape [2, 3, 11], but those of x have shape "
                 "[2, 3, 0]");
    refused_from({.value = 5},
                 "saved holds keys and values of shape [2, 3, 30], but those of x have shape "
                 "[2, 3, 33]");
    refused_from({.gates = 1},
                 "saved holds gates of shape [2, 3, 3], but those of x have shape [2, 3, 0]");
}

}  // namespace test_latent
