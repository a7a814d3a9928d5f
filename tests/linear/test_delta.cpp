#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/decay_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/problem.hpp"

namespace test_delta {

using namespace heed_test;
using heed::index;

/// Forward in T.
template <class T, class... Parts>
void check_output(const linear_problem& from, const reference::linear_options& how,
                  double tolerance, const Parts&... parts) {
    const delta_parts<T> of(how);
    check_forward<T>(from, how, tolerance, heed::causal, of.decay(), of.delta(), of.norm(),
                     parts...);
}
/// Gradients in double, those of β and of log decays too; forward with stats has the bits of
/// forward alone.
template <class... Parts>
void check_learned(generator& random, const linear_problem& from,
                   const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const delta_parts<double> of(how);
    const auto decay = of.decay();
    const auto delta = of.delta();
    const auto norm = of.norm();
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, delta,
                                                           decay, norm, parts...);
    const tensor4<double> plain =
        heed::linear_attention(in.q, in.k, in.v, heed::causal, delta, decay, norm, parts...);
    REQUIRE(std::equal(o.data(), o.data() + o.size(), plain.data()));
    const auto gradients = heed::linear_attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::causal, delta, decay, norm, parts...);
    const tensor4<double> d_deltas = as_four(gradients.template of<0>());
    const tensor4<double> d_logs = as_four(gradients.template of<1>());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v,
                      of.decays ? &d_logs : nullptr, &d_deltas);
}

TEST_CASE("the delta rule is the recurrence, in any extents, with decays and without") {
    generator random(980);
    for (int round = 0; round < 16; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        const bool unit_rows = random.chance(0.5), decays = random.chance(0.6);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e) << ", heads of beta "
                     << heads << ", unit rows " << unit_rows << ", decays " << decays);
        linear_problem from = decay_problem(random, e, heads);
        stabilise(from, unit_rows);
        std::optional<reference::tensor> logs;
        if (decays) logs = random_decays(random, e, random.chance(0.5) ? heads : 1);
        const reference::linear_options how =
            with_deltas(from, random_deltas(random, e, heads), logs, unit_rows);
        check_output<double>(from, how, 1e-11);
        check_output<float>(from, how, 2e-5);
        check_learned(random, from, how);
    }
}

TEST_CASE("gradients of the delta rule over the states that backward keeps") {
    generator random(981);
    for (const index keys : {256, 257, 550}) {
        for (const bool fewer : {false, true}) {
            const linear_extents e{1, 1, 1, 2, fewer ? keys - 100 : keys, keys, 3, 2};
            INFO("seed " << seed() << ", " << to_string(e));
            linear_problem from(random, e);
            reference::tensor logs = random_decays(random, e, 2, false);
            for (double& x : logs.values) x /= 10;
            const bool decays = keys != 257 || fewer;
            check_learned(random, from,
                          with_deltas(from, random_deltas(random, e, 1),
                                      decays ? std::optional(logs) : std::nullopt, true));
        }
    }
}

TEST_CASE("float gradients of the delta rule are double's, up to rounding") {
    generator random(982);
    const linear_extents e{1, 2, 1, 2, 600, 600, 5, 3};
    const linear_problem from(random, e);
    const reference::linear_options how =
        with_deltas(from, random_deltas(random, e, 2), random_decays(random, e, 2), true);
    const auto gradients_of = [&]<class T>(T) {
        const linear_inputs<T> in(from);
        const delta_parts<T> of(how);
        const auto decay = of.decay();
        const auto delta = of.delta();
        const auto norm = of.norm();
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, delta, norm);
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               decay, delta, norm);
    };
    const auto exact = gradients_of(double());
    const auto rounded = gradients_of(float());
    compare_rounded(rounded.q, exact.q, 2e-6);
    compare_rounded(rounded.k, exact.k, 2e-6);
    compare_rounded(rounded.v, exact.v, 2e-6);
    const auto near = [](const tensor3<float>& a, const tensor3<double>& b, double tolerance) {
        double most = 0, difference = 0;
        for (index t = 0; t < b.size(); ++t) {
            most = std::max(most, std::abs(b.data()[t]));
            difference =
                std::max(difference, std::abs(static_cast<double>(a.data()[t]) - b.data()[t]));
        }
        CHECK(difference <= tolerance * most);
    };
    near(rounded.of<0>(), exact.of<0>(), 1e-5);
    near(rounded.of<1>(), exact.of<1>(), 4e-6);
}

/// Numbers a head, or a token of all sequences alike, and their gradients: those of the tokens,
/// summed.
TEST_CASE("beta of fewer numbers is that of tokens") {
    generator random(983);
    const linear_extents e{2, 4, 2, 2, 45, 45, 4, 3};
    const linear_problem from(random, e);
    const linear_inputs<double> in(from);
    const auto run = [&](const auto& part) {
        auto forward =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, part, heed::unit_rows);
        auto gradients =
            heed::linear_attention_backward(in.d_o, forward.output, forward.stats, in.q, in.k, in.v,
                                            heed::causal, part, heed::unit_rows);
        return std::make_pair(forward.output, gradients.template of<0>());
    };
    const Eigen::Vector2d numbers(0.5, 1.25);
    tensor3<double> all(2, 2, 45);
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = 0; t < 45; ++t) all(b, h, t) = numbers(h);
    const auto [o, d_all] = run(heed::learn(heed::delta(all)));
    const auto sum_of = [&d = d_all](index head, index token) {
        double sum = 0;
        for (index b = 0; b < 2; ++b)
            for (index t = 0; t < 45; ++t)
                if (token < 0 || t == token) sum += d(b, head, t);
        return sum;
    };
    const auto of_heads = run(heed::learn(heed::delta(numbers)));
    CHECK(std::equal(o.data(), o.data() + o.size(), of_heads.first.data()));
    for (index h = 0; h < 2; ++h) CHECK(of_heads.second(h) == Approx(sum_of(h, -1)));
    const Eigen::MatrixXd of_tokens = numbers.replicate(1, 45);
    const auto alike = run(heed::learn(heed::delta(of_tokens)));
    CHECK(std::equal(o.data(), o.data() + o.size(), alike.first.data()));
    for (index h = 0; h < 2; ++h)
        for (index t = 0; t < 45; ++t)
            CHECK(alike.second(h, t) == Approx(sum_of(h, t)).margin(1e-12));
    const auto half = run(heed::learn(heed::delta(0.5)));
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = 0; t < 45; ++t) CHECK(half.first(b, h, t, 1) == o(b, h, t, 1));
}

TEST_CASE("the delta rule beside documents, padding, a rotary encoding and a scale") {
    generator random(984);
    for (const bool decays : {false, true}) {
        const linear_extents e{2, 2, 1, 2, 75, 75, 4, 3};
        INFO("seed " << seed() << ", decays " << decays);
        const linear_problem from(random, e);
        std::optional<reference::tensor> logs;
        if (decays) logs = random_decays(random, e, 2);
        reference::linear_options how = with_deltas(from, random_deltas(random, e, 2), logs, true);
        const auto causal = how.visible;
        how.scale = {2, 2};
        std::vector<index> offsets{0, 75};
        for (int d = 0; d < 3; ++d) offsets.push_back(random.integer(0, 75));
        std::sort(offsets.begin(), offsets.end());
        how.visible = reference::both(causal, reference::documents(offsets));
        check_learned(random, from, how, heed::cumulative_lengths(offsets), heed::scale(2));
        const std::vector<index> lengths{random.integer(0, 75), random.integer(0, 75)};
        how.visible = reference::both(causal, reference::key_lengths(lengths));
        check_learned(random, from, how, heed::key_lengths(lengths), heed::scale(2));
        reference::linear_options turning = with_deltas(from, *how.deltas, logs, false);
        linear_problem short_keys = from;
        stabilise(short_keys, false);
        const auto frequencies = reference::plain_frequencies(4);
        turning.turns = reference::rotation{frequencies, false, 1};
        check_learned(random, short_keys, turning,
                      heed::rotary(heed::rope::frequencies(frequencies)));
    }
}

TEST_CASE("unit rows go with decays alone, and with neither") {
    generator random(985);
    const linear_extents e{1, 2, 1, 2, 70, 70, 5, 3};
    const linear_problem from(random, e);
    const linear_inputs<double> in(from);
    const reference::tensor logs = random_decays(random, e, 2);
    reference::linear_options how = with_decays(from, logs);
    how.unit_rows = true;
    const auto decay = heed::learn(heed::log_decay(to_decays<double>(logs)));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, heed::unit_rows);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, heed::unit_rows);
    const tensor4<double> d_logs = as_four(gradients.of<0>());
    compare_outputs(from, how, 1e-12, o);
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v, &d_logs);
    for (double& x : how.log_decays->values) x = 0;
    check_forward<double>(from, how, 1e-12, heed::causal, heed::unit_rows);
}

TEST_CASE("unit rows of any size") {
    for (const float size : {1e-15F, 1e-3F, 1.F, 1e25F}) {
        INFO("size " << size);
        tensor4<float> q(1, 1, 1, 3), v(1, 1, 1, 1);
        q.setValues({{{{size, -2 * size, 2 * size}}}});
        v.setConstant(1);
        const tensor4<float> o =
            heed::linear_attention(q, q, v, heed::causal, heed::unit_rows, heed::scale(1));
        const double square = 9 * static_cast<double>(size) * static_cast<double>(size);
        CHECK(static_cast<double>(o(0, 0, 0, 0)) == Approx(square / (square + 1e-6)).epsilon(1e-6));
    }
}

TEST_CASE("decays of any strength are exact beside the delta rule, and beta 0, 1 and 2") {
    generator random(986);
    const linear_extents e{1, 1, 1, 1, 70, 70, 3, 4};
    const linear_problem from(random, e);
    for (const double strength : {0.0, -5.0, -80.0, -104.0, -1e30, -HUGE_VAL}) {
        for (const double beta : {0.0, 1.0, 2.0}) {
            INFO("log decay " << strength << ", beta " << beta);
            reference::tensor logs(1, 1, 70, 1), deltas = logs;
            for (double& x : deltas.values) x = beta;
            for (double& x : logs.values) x = strength;
            check_output<float>(from, with_deltas(from, deltas, logs, true), 1e-5);
            for (index t = 0; t < 70; ++t)
                if (t % 11 != 0) logs(0, 0, t, 0) = -0.1;
            check_output<float>(from, with_deltas(from, deltas, logs, true), 1e-5);
            check_learned(random, from, with_deltas(from, deltas, logs, true));
        }
    }
}

}  // namespace test_delta
