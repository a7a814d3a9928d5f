// The reference itself, by central differences and by what is known in closed form.

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "accuracy.hpp"
#include "attention.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace reference {
namespace test_reference {

tensor normal(heed_test::generator& random, index b, index h, index n, index d) {
    tensor x(b, h, n, d);
    random.fill_normal(x.values);
    return x;
}

double dot(const tensor& a, const tensor& b) {
    double sum = 0;
    for (std::size_t e = 0; e < a.values.size(); ++e)
        if (a.values[e] != 0) sum += a.values[e] * b.values[e];
    return sum;
}

// One point at which every gradient is checked.
struct problem {
    tensor q, k, v, d_o, d_lse;
    options how;

    double loss() const {
        const attention_result result = attention_forward(q, k, v, how);
        return dot(d_o, result.o) + dot(d_lse, result.log_sum_exp);
    }

    // d loss / d x by central differences; x is one of the problem's own numbers.
    double slope(double& x) const {
        const double step = 1e-5, middle = x;
        x = middle + step;
        const double above = loss();
        x = middle - step;
        const double below = loss();
        x = middle;
        return (above - below) / (2 * step);
    }

    void check(const std::string& name, std::vector<double>& x, const std::vector<double>& dx) {
        INFO(name);
        REQUIRE(x.size() == dx.size());
        double largest = 1e-3;
        for (const double g : dx) largest = std::fmax(largest, std::abs(g));
        for (std::size_t e = 0; e < x.size(); ++e) {
            INFO("element " << e << ": " << dx[e]);
            CHECK(std::abs(slope(x[e]) - dx[e]) <= 1e-8 * largest);
        }
    }

    void check_inputs() {
        const attention_gradient gradient =
            attention_backward(d_o, attention_forward(q, k, v, how), q, k, v, how, d_lse);
        check("q", q.values, gradient.q.values);
        check("k", k.values, gradient.k.values);
        check("v", v.values, gradient.v.values);
        if (!how.query_bias.values.empty())
            check("query bias", how.query_bias.values, gradient.query_bias.values);
        if (!how.key_bias.values.empty())
            check("key bias", how.key_bias.values, gradient.key_bias.values);
        if (!how.sink.empty()) check("sink", how.sink, gradient.sink);
    }
};

// B = 2, H = 4, H_kv = 2, N = 3, M = 5, d = 6, d_v = 4.
problem random_problem(heed_test::generator& random) {
    problem p{normal(random, 2, 4, 3, 6), normal(random, 2, 2, 5, 6), normal(random, 2, 2, 5, 4),
              normal(random, 2, 4, 3, 4), normal(random, 2, 4, 3, 1), {}};
    return p;
}

rotation some_rotation(bool interleaved, index rotated) {
    return {plain_frequencies(rotated, 50), interleaved, 1.25};
}

TEST_CASE("the reference's gradients are those of central differences", "[reference]") {
    heed_test::generator random;
    problem p = random_problem(random);

    SECTION("plain") { p.check_inputs(); }
    SECTION("causal, with a temperature") {
        p.how.visible = causal(3, 5);
        p.how.temperature = 0.7;
        p.check_inputs();
    }
    SECTION("a window and lengths") {
        p.how.visible = both(sliding_window(1, 1, 3, 5), key_lengths({5, 3}));
        // A row that sees nothing has log-sum-exp −∞, which is no number to differentiate.
        const attention_result result = attention_forward(p.q, p.k, p.v, p.how);
        for (std::size_t e = 0; e < p.d_lse.values.size(); ++e)
            if (std::isinf(result.log_sum_exp.values[e])) p.d_lse.values[e] = 0;
        p.check_inputs();
    }
    SECTION("packed documents") {
        p.how.visible = same_segment({{1, 1, 2}, {3, 3, 3}}, {{0, 1, 1, 2, 2}, {3, 3, 3, 3, 4}});
        p.check_inputs();
    }
    SECTION("modifiers") {
        p.how.modifiers = {bias(normal(random, 1, 4, 3, 5)), soft_cap(1.5),
                           alibi({0.5, 0.25, 0.125, 0.0625}, 3, 5)};
        p.check_inputs();
    }
    SECTION("a sink, with a temperature") {
        p.how.sink = {0.5, -1, 0, 2};
        p.how.temperature = 1.3;
        p.check_inputs();
    }
    SECTION("rotated halves, in part") {
        p.how.rotary = some_rotation(false, 4);
        p.check_inputs();
    }
    SECTION("rotated neighbours, at real positions") {
        p.how.rotary = some_rotation(true, 6);
        p.how.query_position = [](index b, index i) { return 1.5 * static_cast<double>(i + b); };
        p.how.key_position = [](index b, index j) { return 0.3 * static_cast<double>(j * j - b); };
        p.check_inputs();
    }
    SECTION("norms alone") {
        p.how.normalise_queries = p.how.normalise_keys = true;
        p.how.scale = [](index, index, index) { return 3.0; };
        p.check_inputs();
    }
    SECTION("everything at once") {
        p.how.query_bias = normal(random, 1, 4, 1, 6);
        p.how.key_bias = normal(random, 1, 2, 1, 6);
        p.how.normalise_queries = p.how.normalise_keys = true;
        p.how.rotary = some_rotation(false, 6);
        p.how.visible = causal(3, 5);
        p.how.scale = [](index, index h, index i) {
            return 2 * log_n_scale(i + 3, 6, 8) + static_cast<double>(h);
        };
        p.how.modifiers = {alibi({0.5, 0.25, 0.125, 0.0625}, 3, 5), soft_cap(2)};
        p.how.sink = {0.5, -1, 0, 2};
        p.check_inputs();
    }
}

TEST_CASE("the reference's gradients of what is learned are those of central differences",
          "[reference]") {
    heed_test::generator random(1);
    problem p = random_problem(random);

    // A scale a head, a bias a head, query and key, a cap: s = cap·tanh((c_h·q·k + b)/cap).
    std::vector<double> scales = {0.3, 0.5, 0.8, 1.1};
    tensor added = normal(random, 1, 4, 3, 5);
    std::vector<double> cap = {1.5};
    const auto compose = [&] {
        p.how.scale = [&](index, index h, index) { return scales[static_cast<std::size_t>(h)]; };
        const auto capped = [&](double s, index, index, index, index) {
            return cap[0] * std::tanh(s / cap[0]);
        };
        const auto derivative = [&](double s, index, index, index, index) {
            return 1 - std::pow(std::tanh(s / cap[0]), 2);
        };
        const auto plus = [&](double s, index, index h, index i, index j) {
            return s + added(0, h, i, j);
        };
        const auto one = [](double, index, index, index, index) { return 1.0; };
        p.how.modifiers = {{plus, one}, {capped, derivative}};
    };
    compose();
    p.how.visible = causal(3, 5);

    const attention_result result = attention_forward(p.q, p.k, p.v, p.how);
    const attention_gradient gradient =
        attention_backward(p.d_o, result, p.q, p.k, p.v, p.how, p.d_lse);

    tensor d_added = zeros_like(added);
    std::vector<double> d_cap = {0};
    for_each_row(p.q, [&](index b, index h, index i) {
        for (index j = 0; j < 5; ++j) {
            d_added(0, h, i, j) += gradient.scores[1](b, h, i, j);
            const double x = result.scores[1](b, h, i, j) / cap[0], t = std::tanh(x);
            d_cap[0] += gradient.scores[2](b, h, i, j) * (t - x * (1 - t * t));
        }
    });
    p.check("scale", scales, gradient.scale_of_head);
    p.check("bias", added.values, d_added.values);
    p.check("cap", cap, d_cap);
}

TEST_CASE("a query that sees nothing gives zeros", "[reference]") {
    const double infinity = std::numeric_limits<double>::infinity();
    heed_test::generator random(2);
    problem p = random_problem(random);
    const auto nothing = [](index, index, index, index) { return false; };

    p.how.visible = nothing;
    attention_result result = attention_forward(p.q, p.k, p.v, p.how);
    CHECK(largest_magnitude(result.o) == 0);
    CHECK(result.log_sum_exp(1, 3, 2, 0) == -infinity);

    p.how.sink = {1, 2, 3, 4};
    result = attention_forward(p.q, p.k, p.v, p.how);
    CHECK(largest_magnitude(result.o) == 0);
    CHECK(result.log_sum_exp(1, 3, 2, 0) == 4);
    CHECK(result.p_sink(1, 3, 2, 0) == 1);
}

TEST_CASE("what a mask hides may be NaN", "[reference]") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    heed_test::generator random(3);
    problem p = random_problem(random);
    p.how.visible = key_lengths({3, 5});
    const attention_result before = attention_forward(p.q, p.k, p.v, p.how);
    for (index c = 0; c < 6; ++c) p.k(0, 0, 4, c) = nan;
    for (index c = 0; c < 4; ++c) p.v(0, 1, 3, c) = nan;
    const attention_result after = attention_forward(p.q, p.k, p.v, p.how);
    CHECK(after.o.values == before.o.values);

    p.v(1, 0, 0, 0) = nan;  // seen by every row of heads 0 and 1 of batch 1
    const attention_result seen = attention_forward(p.q, p.k, p.v, p.how);
    CHECK(std::isnan(seen.o(1, 1, 2, 0)));
    CHECK(seen.o(1, 2, 2, 0) == before.o(1, 2, 2, 0));
    CHECK(seen.o(0, 1, 2, 0) == before.o(0, 1, 2, 0));
}

TEST_CASE("masks see what they say", "[reference]") {
    CHECK(visible_count(causal(4, 6), 6, 0, 0, 0) == 3);
    CHECK(visible_count(causal(6, 4), 4, 0, 0, 1) == 0);
    CHECK(visible_count(causal_from_start(), 6, 0, 0, 0) == 1);
    CHECK(visible_count(sliding_window(1, 2, 6, 6), 6, 0, 0, 3) == 4);
    CHECK(visible_count(key_lengths({2, 3}), 6, 1, 0, 0) == 3);
    CHECK(visible_count(mask(), 6, 1, 0, 0) == 6);
}

TEST_CASE("the rotation depends on differences of positions alone", "[reference]") {
    heed_test::generator random(4);
    const tensor q = normal(random, 1, 1, 1, 8), k = normal(random, 1, 1, 1, 8);
    for (const bool interleaved : {false, true}) {
        const rotation how{plain_frequencies(8), interleaved, 1};
        const auto score = [&](double at_query, double at_key) {
            return dot(rotate(q, how, [=](index, index) { return at_query; }),
                       rotate(k, how, [=](index, index) { return at_key; }));
        };
        CHECK(score(1000.5, 997.5) == Approx(score(3, 0)).epsilon(1e-11));
        const auto position = [](index, index) { return 17.0; };
        const tensor back = rotate(rotate(q, how, position), how, position, -1);
        CHECK(largest_difference(back, q) < 1e-15);
    }
}

TEST_CASE("the scales have the article's values", "[reference]") {
    CHECK(log_n_scale(512, 64) == Approx(1.0 / 8));
    CHECK(log_n_after_training_scale(100, 64, 512) == Approx(1.0 / 8));
    CHECK(log_n_after_training_scale(512 * 512, 64, 512) == Approx(2.0 / 8));
    CHECK(log_n_scale(0, 64) == 0);
    CHECK(kappa_scale(1, 64, 3) == 0);

    // e^{α²}(1 + 2α²) = n at the maximum.
    for (const double n : {8.0, 512.0, 65536.0}) {
        const double a = gradient_maximising_normal(n);
        CHECK(std::exp(a * a) * (1 + 2 * a * a) == Approx(n).epsilon(1e-6));
    }
    // 0.84·√log n is 22 % too much at n = 8 and 4.5 % at 512 (kexue 9812).
    CHECK(0.84 * std::sqrt(std::log(8.0)) / gradient_maximising_normal(8) ==
          Approx(1.22).margin(0.005));
    CHECK(0.84 * std::sqrt(std::log(512.0)) / gradient_maximising_normal(512) ==
          Approx(1.045).margin(0.0005));

    // E[e^{αs}] has closed forms at d = 3 (s uniform: sinh α / α); and α* at d = 128 is
    // 4.56·log n at n = 40, 3.40·log n at 20000.
    CHECK(log_mean_exp_cosine(5, 3) == Approx(std::log(std::sinh(5.0) / 5)).epsilon(1e-7));
    CHECK(gradient_maximising_cosine(40, 128) / std::log(40.0) == Approx(4.56).margin(0.005));
    CHECK(gradient_maximising_cosine(20000, 128) / std::log(20000.0) == Approx(3.40).margin(0.005));
}

TEST_CASE("the accuracy bounds hold for a plain float attention and reject a wrong one",
          "[reference]") {
    heed_test::generator random(5);
    problem p = random_problem(random);
    p.how.visible = causal(3, 5);
    const attention_result exact = attention_forward(p.q, p.k, p.v, p.how);
    const attention_bounds bound = forward_bounds<float>(exact, p.v, p.how);
    const attention_gradient gradient =
        attention_backward(p.d_o, exact, p.q, p.k, p.v, p.how, p.d_lse);
    const gradient_bounds gradients =
        backward_bounds<float>(p.d_o, exact, p.q, p.k, p.v, p.how, p.d_lse);

    // Rounding the inputs to float is an error of the kind that floats make.
    problem rounded = p;
    for (tensor* x : {&rounded.q, &rounded.k, &rounded.v, &rounded.d_o})
        for (double& value : x->values) value = static_cast<float>(value);
    const attention_result nearly = attention_forward(rounded.q, rounded.k, rounded.v, rounded.how);
    const attention_gradient nearly_gradient = attention_backward(
        rounded.d_o, nearly, rounded.q, rounded.k, rounded.v, rounded.how, p.d_lse);
    CHECK(largest_ratio(nearly.o, exact.o, bound.o) <= 1);
    CHECK(largest_ratio(nearly_gradient.q, gradient.q, gradients.q) <= 1);
    CHECK(largest_ratio(nearly_gradient.k, gradient.k, gradients.k) <= 1);
    CHECK(largest_ratio(nearly_gradient.v, gradient.v, gradients.v) <= 1);

    rounded.q(1, 2, 2, 3) += 1e-3;
    const attention_result wrong = attention_forward(rounded.q, rounded.k, rounded.v, rounded.how);
    CHECK(largest_ratio(wrong.o, exact.o, bound.o) > 10);
    rounded.q(1, 2, 2, 3) = std::numeric_limits<double>::quiet_NaN();
    const attention_result nan = attention_forward(rounded.q, rounded.k, rounded.v, rounded.how);
    CHECK(std::isinf(largest_ratio(nan.o, exact.o, bound.o)));
}

}  // namespace test_reference
}  // namespace reference
