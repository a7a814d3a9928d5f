#include <cmath>
#include <vector>

#include <heed/heed.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_combinations {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// What several parts are in the reference, and what they need to be parts.
struct ingredients {
    extents e;
    reference::options how;
    std::vector<double> slopes, sinks;
    reference::tensor bias;
    tensor4<float> bias32;
    tensor4<double> bias64;
    std::vector<index> lengths;
    std::vector<int> ids;
    heed::rope::frequencies rope;

    ingredients(generator& random, const extents& sizes)
        : e(sizes), rope(heed::rope::plain({.dim = sizes.dim / 2 * 2, .base = 300})) {
        for (index h = 0; h < e.heads; ++h) {
            slopes.push_back(0.0625 * static_cast<double>(random.integer(1, 4)));
            sinks.push_back(0.25 * static_cast<double>(random.integer(-8, 8)));
        }
        bias = random_numbers(random, random.chance(0.5) ? 1 : e.batch, 1, e.queries, e.keys);
        bias32 = to_tensor<float>(bias);
        bias64 = to_tensor<double>(bias);
        for (index b = 0; b < e.batch; ++b) lengths.push_back(random.integer(0, e.keys));
        for (index j = 0; j < std::max(e.queries, e.keys); ++j)
            ids.push_back(static_cast<int>(j / 11));
    }

    reference::mask same_id() const {
        const std::vector<index> of(ids.begin(), ids.end());
        return [of](index, index, index i, index j) {
            return of[static_cast<std::size_t>(i)] == of[static_cast<std::size_t>(j)];
        };
    }
    reference::rotation rotation() const {
        return {reference::plain_frequencies(e.dim / 2 * 2, 300), false, 1};
    }
    template <class T>
    const tensor4<T>& bias_of() const {
        if constexpr (std::is_same_v<T, float>)
            return bias32;
        else
            return bias64;
    }
};

template <class F>
void for_ingredients(std::uint64_t stream, F&& f) {
    for_problems(stream, [&](generator& random, const problem& drawn) {
        extents e = drawn.sizes;
        e.dim = std::max<index>(2, e.dim);
        const problem from(random, e);
        ingredients x(random, e);
        f(random, from, x);
    });
}

TEST_CASE("window, cache lengths, bias, cap and log n") {
    for_ingredients(141, [](generator& random, const problem& from, ingredients& x) {
        const extents& e = x.e;
        x.how.visible = reference::at_own_ends(x.lengths, [&](index keys) {
            return reference::sliding_window(30, 4, e.queries, keys);
        });
        x.how.modifiers = {reference::bias(x.bias), reference::soft_cap(4)};
        x.how.scale = [&](index b, index h, index i) {
            return reference::log_n_scale(reference::visible_count(x.how.visible, e.keys, b, h, i),
                                          e.dim, 16);
        };
        const auto parts = [&]<class T>(T) {
            return std::tuple(heed::bias(x.bias_of<T>()), heed::cache_lengths(x.lengths),
                              heed::soft_cap(4), heed::log_n_scale(16),
                              heed::sliding_window(30, 4));
        };
        check_everything(random, from, x.how, parts(0.F), parts(0.0));
    });
}

TEST_CASE("sink, documents, rotary, ALiBi and temperature") {
    for_ingredients(142, [](generator& random, const problem& from, ingredients& x) {
        const extents& e = x.e;
        x.how.visible = reference::both(reference::causal(e.queries, e.keys), x.same_id());
        x.how.rotary = x.rotation();
        x.how.modifiers = {reference::alibi(x.slopes, e.queries, e.keys)};
        x.how.sink = x.sinks;
        x.how.temperature = 0.5;
        const std::vector<int> queries(x.ids.begin(), x.ids.begin() + e.queries),
            keys(x.ids.begin(), x.ids.begin() + e.keys);
        check_all(random, from, x.how, heed::sink(x.sinks).temperature(0.5),
                  heed::segments(queries, keys), heed::rotary(x.rope), heed::alibi(x.slopes),
                  heed::causal);
    });
}

TEST_CASE("cap before bias, a user's mask, norms and plus one") {
    for_ingredients(143, [](generator& random, const problem& from, ingredients& x) {
        const index shift = x.e.keys - x.e.queries;
        x.how.normalise_keys = true;
        x.how.scale = [](index, index, index) { return 3.0; };
        x.how.modifiers = {reference::soft_cap(2), reference::bias(x.bias)};
        x.how.visible = [=](index, index, index i, index j) {
            return (i + shift + j + 700) % 7 != 3;
        };
        x.how.sink.assign(static_cast<std::size_t>(x.e.heads), 0);
        const auto parts = [&]<class T>(T) {
            return std::tuple(heed::softmax_plus_one, heed::soft_cap(2),
                              heed::mask([](auto i, auto j) { return (i + j) % 7 != 3; }),
                              heed::bias(x.bias_of<T>()), heed::key_norm.scale(3));
        };
        check_everything(random, from, x.how, parts(0.F), parts(0.0));
    });
}

TEST_CASE("everything that is learned, at once") {
    generator random(144);
    for (int round = 0; round < 5; ++round) {
        extents e = round < 4 ? random_extents(random) : extents{1, 2, 1, 40, 300, 8, 8};
        inputs<double> in(random, e);
        auto bias = to_tensor<double>(random_numbers(random, 1, e.heads, e.queries, e.keys));
        auto shift = to_tensor<double>(random_numbers(random, e.batch, 1, 1, 1));
        Eigen::VectorXd slopes(e.heads), scales(e.heads), logits(e.heads);
        slopes.setConstant(0.1);
        scales.setConstant(0.5);
        random.fill_normal(logits);
        const auto cap = heed::learn(heed::soft_cap(5));
        const auto parts =
            std::tuple(heed::learn(heed::sink(logits)), heed::learn(heed::bias(bias)), heed::causal,
                       heed::learn(heed::alibi(slopes)), heed::learn(heed::scale(scales)), cap,
                       heed::learn(heed::bias(shift)));
        const auto loss = [&] {
            return std::apply([&](const auto&... part) { return loss_of(in, part...); }, parts);
        };
        const auto gradient = std::apply(
            [&](const auto&... part) { return check_differences(random, in, part...); }, parts);
        const double largest = largest_of(gradient);
        INFO(to_string(e));
        check_slopes("sink", random, 3, logits, gradient.of<0>(), loss, largest);
        check_slopes("bias", random, 6, bias, gradient.of<1>(), loss, largest);
        check_slopes("slopes", random, 3, slopes, gradient.of<2>(), loss, largest);
        check_slopes("scales", random, 3, scales, gradient.of<3>(), loss, largest);
        check_slopes("shift", random, 3, shift, gradient.of<5>(), loss, largest);
        // By the tuple protocol too.
        const auto& [dq, dk, dv, d_logits, d_bias, d_slopes, d_scales, d_cap, d_shift] = gradient;
        CHECK(&dv == &gradient.v);
        CHECK(&d_slopes == &gradient.of<2>());
        CHECK((dq.size() == in.q.size() && dk.size() == in.k.size() && d_cap.size() == 1 &&
               d_logits.size() == d_scales.size() && d_shift.size() == e.batch &&
               d_bias.size() == bias.size()));
    }
}

}  // namespace test_attention_combinations
