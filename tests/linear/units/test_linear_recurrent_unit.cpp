#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/linear/units/linear_recurrent_unit.hpp>
#include <heed/linear/units/real_linear_recurrent_unit.hpp>
#include <heed/linear/units/unit_initialiser.hpp>

#include "linear/units/unit_problem.hpp"
#include "reference/units.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/refused.hpp"
#include "support/threads.hpp"

namespace test_linear_recurrent_unit {

using namespace heed_test;
using heed::index;

/// `parts` is 1 for real numbers, 2 for complex ones.
struct recurrence_problem {
    int parts;
    std::vector<double> nu_log, theta_log, gamma;
    reference::tensor u, dx, initial, final_gradient;

    recurrence_problem(generator& random, const unit_extents& e, int numbers)
        : parts(numbers),
          nu_log(uniform_numbers(random, e.channels, -7, 1)),
          theta_log(uniform_numbers(random, numbers == 2 ? e.channels : 0, -3, 1.8)),
          gamma(uniform_numbers(random, e.channels, 0.1, 1)),
          u(normal_tensor(random, e.batch, e.tokens, parts * e.channels)),
          dx(normal_tensor(random, e.batch, e.tokens, parts * e.channels)),
          initial(normal_tensor(random, e.batch, parts, e.channels)),
          final_gradient(normal_tensor(random, e.batch, parts, e.channels)) {}

    reference::unit_result result(const reference::tensor& from) const {
        return reference::linear_recurrent_unit(nu_log, theta_log, gamma, u, from);
    }
};

/// f(unit) with the unit of a problem in T, real or complex.
template <class T, class F>
void with_unit(const recurrence_problem& from, F&& f) {
    const auto nu_log = as_vector<T>(from.nu_log), theta_log = as_vector<T>(from.theta_log),
               gamma = as_vector<T>(from.gamma);
    if (from.parts == 1)
        f(heed::real_linear_recurrent_unit(nu_log, gamma));
    else
        f(heed::linear_recurrent_unit(nu_log, theta_log, gamma));
}

template <class T>
heed::unit_state<T> state_of(const reference::tensor& x) {
    if (x.rows() == 1) return heed::unit_state<T>::from(as_part<T>(x, 0));
    return heed::unit_state<T>::from(as_part<T>(x, 0), as_part<T>(x, 1));
}
template <class T>
unit_tensor<T> numbers_of(const heed::unit_state<T>& state) {
    unit_tensor<T> numbers(state.batch(), state.parts(), state.channels());
    for (index b = 0; b < state.batch(); ++b)
        for (index i = 0; i < state.parts(); ++i)
            for (index c = 0; c < state.channels(); ++c) numbers(b, i, c) = state.part(i)(b, c);
    return numbers;
}

TEMPLATE_TEST_CASE("linear recurrent units are their recurrences, from no state and from one", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(1310);
    const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-13;
    for (int round = 0; round < 24; ++round) {
        const unit_extents e = random_unit_extents(random);
        INFO(to_string(e));
        const recurrence_problem from(random, e, 1 + round % 2);
        with_unit<T>(from, [&](const auto& unit) {
            const auto u = as_tensor<T>(from.u);
            heed::unit_state<T> state;
            const unit_tensor<T> x = unit(u, heed::carry(state));
            const auto expected =
                from.result(reference::tensor(e.batch, 1, from.parts, e.channels));
            near("x", x, expected.output, tolerance);
            near("state", numbers_of(state), expected.state, tolerance);
            state = state_of<T>(from.initial);
            near("x from a state", unit(u, heed::carry(state)), from.result(from.initial).output,
                 tolerance);
            near("state", numbers_of(state), from.result(from.initial).state, tolerance);
        });
    }
}

TEST_CASE("linear recurrent units' gradients are central differences, states' too") {
    generator random(1311);
    for (int round = 0; round < 8; ++round) {
        const unit_extents e = random_unit_extents(random);
        INFO(to_string(e));
        recurrence_problem from(random, e, 1 + round % 2);
        const auto loss = [&] {
            const auto found = from.result(from.initial);
            double sum = 0;
            for (std::size_t i = 0; i < found.output.values.size(); ++i)
                sum += found.output.values[i] * from.dx.values[i];
            for (std::size_t i = 0; i < found.state.values.size(); ++i)
                sum += found.state.values[i] * from.final_gradient.values[i];
            return sum;
        };
        with_unit<double>(from, [&](const auto& unit) {
            const auto u = as_tensor<double>(from.u), dx = as_tensor<double>(from.dx);
            auto state = state_of<double>(from.initial);
            const auto before = state;
            const unit_tensor<double> x = unit(u, heed::carry(state));
            const auto d =
                unit.backward(dx, x, u, heed::carry(before),
                              heed::state_gradient(state_of<double>(from.final_gradient)));
            check_slopes(random, "du", from.u.values, d.u.data(), loss);
            check_slopes(random, "d_nu_log", from.nu_log, d.nu_log.data(), loss);
            check_slopes(random, "d_gamma", from.gamma, d.gamma.data(), loss);
            if constexpr (requires { d.theta_log; })
                check_slopes(random, "d_theta_log", from.theta_log, d.theta_log.data(), loss);
            const auto d_initial = numbers_of(d.state);
            check_slopes(random, "d_state", from.initial.values, d_initial.data(), loss);
        });
    }
}

TEST_CASE("linear recurrent units in floats are double's over a long memory, up to rounding") {
    generator random(1312);
    for (const int parts : {1, 2}) {
        recurrence_problem from(random, {1, 5000, 16}, parts);
        for (double& nu_log : from.nu_log) nu_log -= 4;  // a memory of thousands of tokens
        const auto gradients_of = [&]<class T>(T, unit_tensor<T>& x, std::vector<T>& parameters) {
            unit_tensor<T> du;
            with_unit<T>(from, [&](const auto& unit) {
                const auto u = as_tensor<T>(from.u);
                x = unit(u);
                const auto d = unit.backward(as_tensor<T>(from.dx), x, u);
                du = d.u;
                const auto add = [&](const auto& more) {
                    parameters.insert(parameters.end(), more.data(), more.data() + more.size());
                };
                add(d.nu_log);
                add(d.gamma);
                if constexpr (requires { d.theta_log; }) add(d.theta_log);
            });
            return du;
        };
        unit_tensor<float> x;
        unit_tensor<double> exact_x;
        std::vector<float> parameters;
        std::vector<double> exact_parameters;
        const auto du = gradients_of(float(), x, parameters);
        const auto exact_du = gradients_of(double(), exact_x, exact_parameters);
        constexpr double bound = 4e-6;
        near_numbers("x", x, exact_x, bound);
        near_numbers("du", du, exact_du, bound);
        near_numbers("parameters", parameters, exact_parameters, 2 * bound);
    }
}

TEMPLATE_TEST_CASE(
    "linear recurrent units have the same bits in any pieces, batch, layout, and on "
    "threads",
    "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(1313);
    Eigen::ThreadPool pool(3);
    await_threads(pool);
    for (const int parts : {1, 2}) {
        const unit_extents e{3, 67, heed::detail::unit_group<T> + 5};
        const recurrence_problem from(random, e, parts);
        with_unit<T>(from, [&](const auto& unit) {
            auto u = as_tensor<T>(from.u), dx = as_tensor<T>(from.dx);
            heed::unit_state<T> last;
            const unit_tensor<T> whole = unit(u, heed::carry(last));
            for (const index longest : {1, 40}) {
                heed::unit_state<T> state;
                unit_tensor<T> x(whole.dimensions());
                for (index first = 0; first < e.tokens;) {
                    const index count =
                        std::min(e.tokens - first, longest == 1 ? 1 : random.integer(1, longest));
                    unit.into(tokens_of(x, first, count), tokens_of(u, first, count),
                              heed::carry(state));
                    first += count;
                }
                CHECK(same_bits(x, whole));
                CHECK(same_states(state, last));
            }
            const auto alone = unit(sequence_of(u, 1));
            CHECK(std::memcmp(alone.data(), whole.data() + alone.size(),
                              static_cast<std::size_t>(alone.size()) * sizeof(T)) == 0);
            CHECK(same_bits(unit(column_major(u)), column_major(whole)));

            const auto gradient = unit.backward(dx, whole, u);
            const auto shared = unit.backward(dx, column_major(whole), u, heed::on(pool));
            CHECK(same_bits(shared.u, gradient.u));
            CHECK(same_bits(shared.nu_log, gradient.nu_log));
            CHECK(same_bits(shared.gamma, gradient.gamma));
            CHECK(same_states(shared.state, gradient.state));

            heed::workspace memory;
            unit_tensor<T> x(whole.dimensions());
            const auto call = [&] { unit.into(x, u, heed::on(pool), heed::in(memory)); };
            for (int i = 0; i < 2; ++i) call();
            CHECK(same_bits(x, whole));
            const std::size_t before = allocations();
            call();
            CHECK(allocations() == before);
        });
    }
}

TEST_CASE("what a linear recurrent unit writes past the caches has the bits that it has in them") {
    generator random(1316);
    constexpr index tokens = 64, channels = heed::detail::unit_group<float>;
    constexpr index batch =
        heed::detail::streaming_bytes / (tokens * channels * index(sizeof(float)));
    unit_tensor<float> u(batch, tokens, channels);
    for (index i = 0; i < u.size(); ++i) u.data()[i] = static_cast<float>(i % 1013 - 506);
    const auto unit = heed::real_linear_recurrent_unit(
        as_vector<float>(uniform_numbers(random, channels, -7, 1)),
        as_vector<float>(uniform_numbers(random, channels, 0.1, 1)));
    unit_tensor<float> x = unit(u);
    const auto gradient = unit.backward(u, x, u);
    const auto last_u = sequence_of(u, batch - 1), last_x = sequence_of(x, batch - 1);
    const auto same = [](const auto& alone, const auto& all) {
        return std::equal(alone.data(), alone.data() + alone.size(),
                          all.data() + all.size() - alone.size());
    };
    CHECK(same(unit(last_u), x));
    CHECK(same(unit.backward(last_u, last_x, last_u).u, gradient.u));
}

TEST_CASE("a NaN stays in its channel of a linear recurrent unit, and behind it") {
    generator random(1314);
    const recurrence_problem from(random, {1, 40, 3}, 2);
    with_unit<float>(from, [&](const auto& unit) {
        auto u = as_tensor<float>(from.u);
        const auto plain = unit(u);
        u(0, 7, 1) = NAN;
        const auto x = unit(u);
        for (index t = 0; t < 40; ++t)
            for (index c = 0; c < 6; ++c) {
                const bool is_poisoned = t >= 7 && c % 3 == 1 && (t > 7 || c == 1);
                CHECK(std::isnan(x(0, t, c)) == is_poisoned);
                CHECK((is_poisoned || x(0, t, c) == plain(0, t, c)));
            }
    });
}

TEST_CASE("linear recurrent units refuse what does not fit") {
    const std::vector<float> three(3, 0.0F), two(2, 0.0F);
    const auto unit = heed::linear_recurrent_unit(three, three, three);
    unit_tensor<float> u(2, 4, 6), odd(2, 4, 5);
    u.setZero();
    check_refused<heed::shape_error>(
        "u has shape [2, 4, 5], but its channels must be the real parts and as many imaginary ones "
        "behind them",
        [&] { unit(odd); });
    check_refused<heed::shape_error>(
        "theta_log has length 2 and u has shape [2, 4, 6], but there must be one number for each "
        "of its 3 channels",
        [&] { heed::linear_recurrent_unit(three, two, three)(u); });
    check_refused<heed::argument_error>(
        "heed::real_linear_recurrent_unit: gamma of channel 0 is inf, but must be finite", [&] {
            heed::real_linear_recurrent_unit(std::vector<float>(6),
                                             std::vector<float>(6, HUGE_VALF))(u);
        });
    check_refused<heed::argument_error>(
        "heed::linear_recurrent_unit: theta_log of channel 0 is 800, but must be at most 709",
        [&] { heed::linear_recurrent_unit(three, std::vector<float>(3, 800), three)(u); });
    const auto state = heed::unit_state<float>::from(Eigen::MatrixXf::Zero(2, 3));
    CHECK_THROWS_AS(unit.backward(u, u, u, heed::carry(state)), heed::shape_error);
    CHECK_THROWS_AS(unit.backward(odd, u, u), heed::shape_error);
    CHECK_THROWS_AS(unit.into(u, u), heed::argument_error);
}

TEST_CASE("first parameters of linear recurrent units lie in their ring, the same everywhere") {
    const auto first = heed::init::recurrent_ring();
    Eigen::VectorXd nu_log(4000), theta_log(4000), gamma(4000);
    first.into(nu_log, theta_log, gamma, 42);
    double mean_square = 0, mean_angle = 0;
    for (index c = 0; c < 4000; ++c) {
        const double r = std::exp(-std::exp(nu_log[c])), angle = std::exp(theta_log[c]);
        CHECK((r >= 0.9 - 1e-12 && r <= 0.999 + 1e-12 && angle > 0 && angle < 6.2831854));
        CHECK(std::abs(gamma[c] - std::sqrt(1 - r * r)) <= 1e-12);
        mean_square += r * r / 4000;
        mean_angle += angle / 4000;
    }
    CHECK(std::abs(mean_square - (0.81 + 0.998001) / 2) < 0.004);
    CHECK(std::abs(mean_angle - 3.14159265) < 0.12);

    // On every machine; to the last place those of other code in 60 digits.
    CHECK(nu_log[0] == -0x1.b421b98c1fe17p+1);
    CHECK(theta_log[0] == -0x1.db68127d0d95ap+0);
    CHECK(gamma[0] == 0x1.0349368c142ccp-2);

    Eigen::MatrixXf real(2, 4000);  // in rows
    first.into(real.row(0), real.row(1), heed::random_numbers(42));
    CHECK(real.row(0).transpose() == nu_log.cast<float>());
    CHECK(real.row(1).transpose() == gamma.cast<float>());

    check_refused<heed::argument_error>(
        "heed::init::recurrent_ring: radii from 0.9 to 1, but must be 0 <= least <= greatest < 1, "
        "the greatest above 0",
        [] { heed::init::recurrent_ring({.greatest = 1}); });
    check_refused<heed::argument_error>(
        "heed::init::recurrent_ring: the greatest angle is 0, but must be positive and finite",
        [] { heed::init::recurrent_ring({.angle = 0}); });
    check_refused<heed::shape_error>("gamma has shape [2, 1], but must be a vector of length 4000",
                                     [&] { first.into(nu_log, Eigen::MatrixXd(2, 1).col(0), 1); });
}

}  // namespace test_linear_recurrent_unit
