#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/linear/units/rwkv.hpp>

#include "linear/units/unit_problem.hpp"
#include "reference/units.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/refused.hpp"
#include "support/threads.hpp"

namespace test_rwkv {

using namespace heed_test;
using heed::index;

struct rwkv_problem {
    std::vector<double> decay, bonus;
    reference::tensor r, k, v, d_o;
    reference::tensor initial, final_gradient;  // y and z; theirs at the size of the final state

    rwkv_problem(generator& random, const unit_extents& e)
        : decay(uniform_numbers(random, e.channels, -7, 2)),
          bonus(uniform_numbers(random, e.channels, -2, 2)),
          r(normal_tensor(random, e.batch, e.tokens, e.channels, 2)),
          k(normal_tensor(random, e.batch, e.tokens, e.channels, 4)),
          v(normal_tensor(random, e.batch, e.tokens, e.channels)),
          d_o(normal_tensor(random, e.batch, e.tokens, e.channels)),
          initial(normal_tensor(random, e.batch, 2, e.channels)),
          final_gradient(normal_tensor(random, e.batch, 2, e.channels)) {
        for (double& key : k.values)
            if (random.chance(0.1)) key = -HUGE_VAL;
        for (index b = 0; b < e.batch; ++b)
            for (index c = 0; c < e.channels; ++c) initial(b, 0, 1, c) = random.uniform(1, 2);
    }

    reference::unit_result result(const reference::tensor& from) const {
        return reference::rwkv(decay, bonus, r, k, v, from);
    }
};

/// The same as heed takes it.
template <class T>
struct rwkv_inputs {
    std::vector<T> decay, bonus;
    unit_tensor<T> r, k, v, d_o;

    explicit rwkv_inputs(const rwkv_problem& from)
        : decay(as_vector<T>(from.decay)),
          bonus(as_vector<T>(from.bonus)),
          r(as_tensor<T>(from.r)),
          k(as_tensor<T>(from.k)),
          v(as_tensor<T>(from.v)),
          d_o(as_tensor<T>(from.d_o)) {}

    auto unit() const { return heed::rwkv(decay, bonus); }
};

template <class T>
heed::unit_state<T> state_of(const reference::tensor& sums) {
    const auto y = as_part<T>(sums, 0);
    return heed::unit_state<T>::from(y, as_part<T>(sums, 1), 0 * y);
}
/// y and z themselves.
template <class T>
unit_tensor<T> sums_of(const heed::unit_state<T>& state) {
    unit_tensor<T> sums(state.batch(), 2, state.channels());
    for (index b = 0; b < state.batch(); ++b)
        for (index c = 0; c < state.channels(); ++c) {
            const T size = std::exp(state.part(2)(b, c) + state.part(3)(b, c));
            for (index i = 0; i < 2; ++i) sums(b, i, c) = state.part(i)(b, c) * size;
        }
    return sums;
}

TEMPLATE_TEST_CASE("rwkv is its recurrence, from no state and from one", "", HEED_TEST_SCALARS) {
    generator random(1300);
    const double tolerance = std::is_same_v<TestType, float> ? 2e-6 : 1e-13;
    for (int round = 0; round < 24; ++round) {
        const unit_extents e = random_unit_extents(random);
        INFO(to_string(e));
        const rwkv_problem from(random, e);
        const rwkv_inputs<TestType> in(from);
        heed::unit_state<TestType> state;
        const unit_tensor<TestType> o = in.unit()(in.r, in.k, in.v, heed::carry(state));
        reference::tensor none(e.batch, 1, 2, e.channels);
        near("o", o, from.result(none).output, tolerance);
        near("state", sums_of(state), from.result(none).state, 4 * tolerance);
        state = state_of<TestType>(from.initial);
        const auto after = in.unit()(in.r, in.k, in.v, heed::carry(state));
        near("o from a state", after, from.result(from.initial).output, tolerance);
        near("state", sums_of(state), from.result(from.initial).state, 4 * tolerance);
    }
}

TEST_CASE("rwkv's gradients are central differences, states' too") {
    generator random(1301);
    for (int round = 0; round < 8; ++round) {
        const unit_extents e = random_unit_extents(random);
        INFO(to_string(e));
        rwkv_problem from(random, e);
        const rwkv_inputs<double> in(from);
        const auto unit = in.unit();
        const bool has_state = round % 2 == 0;
        if (!has_state) from.initial = reference::tensor(e.batch, 1, 2, e.channels);
        const auto initial =
            has_state ? state_of<double>(from.initial) : heed::unit_state<double>();
        auto last = initial;
        unit(in.r, in.k, in.v, heed::carry(last));
        const auto d_last = heed::unit_state<double>::from(as_part<double>(from.final_gradient, 0),
                                                           as_part<double>(from.final_gradient, 1));
        const auto d = unit.backward(in.d_o, in.r, in.k, in.v, heed::carry(initial),
                                     heed::state_gradient(d_last));
        const auto loss = [&] {
            const auto found = from.result(from.initial);
            double sum = 0;
            for (std::size_t i = 0; i < found.output.values.size(); ++i)
                sum += found.output.values[i] * from.d_o.values[i];
            for (index b = 0; b < e.batch; ++b)
                for (index c = 0; c < e.channels; ++c)
                    for (index i = 0; i < 2; ++i)
                        if (last.part(1)(b, c) != 0)  // the size of no sum is none
                            sum += found.state(b, 0, i, c) * from.final_gradient(b, 0, i, c) *
                                   std::exp(-last.part(2)(b, c) - last.part(3)(b, c));
            return sum;
        };
        check_slopes(random, "dr", from.r.values, d.r.data(), loss);
        check_slopes(random, "dk", from.k.values, d.k.data(), loss);
        check_slopes(random, "dv", from.v.values, d.v.data(), loss);
        check_slopes(random, "d_decay", from.decay, d.decay.data(), loss);
        check_slopes(random, "d_bonus", from.bonus, d.bonus.data(), loss);
        if (!has_state) continue;
        std::vector<double> d_initial;
        for (index b = 0; b < e.batch; ++b)
            for (index i = 0; i < 2; ++i)
                for (index c = 0; c < e.channels; ++c) d_initial.push_back(d.state.part(i)(b, c));
        check_slopes(random, "d_state", from.initial.values, d_initial.data(), loss);
    }
}

TEST_CASE("rwkv in floats over a long sequence of large keys is double's, up to rounding") {
    generator random(1302);
    rwkv_problem from(random, {1, 3000, 16});
    for (double& key : from.k.values) key = static_cast<float>(key + 300);
    for (double& decay : from.decay) decay = static_cast<float>(decay - 2);
    const rwkv_inputs<double> exact(from);
    const rwkv_inputs<float> rounded(from);
    near_numbers("o", rounded.unit()(rounded.r, rounded.k, rounded.v),
                 exact.unit()(exact.r, exact.k, exact.v), 2e-6);
    const auto a = rounded.unit().backward(rounded.d_o, rounded.r, rounded.k, rounded.v);
    const auto b = exact.unit().backward(exact.d_o, exact.r, exact.k, exact.v);
    near_numbers("dr", a.r, b.r, 2e-6);
    near_numbers("dk", a.k, b.k, 1e-5);
    near_numbers("dv", a.v, b.v, 1e-5);
    near_numbers("d_decay", a.decay, b.decay, 1e-5);
    near_numbers("d_bonus", a.bonus, b.bonus, 1e-5);
}

TEMPLATE_TEST_CASE("rwkv has the same bits in any pieces, batch, layout, and on threads", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(1303);
    const unit_extents e{3, 67, heed::detail::unit_group<T> + 5};
    const rwkv_problem from(random, e);
    rwkv_inputs<T> in(from);
    const auto unit = in.unit();
    heed::unit_state<T> last;
    const unit_tensor<T> whole = unit(in.r, in.k, in.v, heed::carry(last));
    for (const index longest : {1, 5, 40}) {
        heed::unit_state<T> state;
        unit_tensor<T> o(whole.dimensions());
        for (index first = 0; first < e.tokens;) {
            const index count =
                std::min(e.tokens - first, longest == 1 ? 1 : random.integer(1, longest));
            unit.into(tokens_of(o, first, count), tokens_of(in.r, first, count),
                      tokens_of(in.k, first, count), tokens_of(in.v, first, count),
                      heed::carry(state));
            first += count;
        }
        CHECK(same_bits(o, whole));
        CHECK(same_states(state, last));
    }
    for (index b = 0; b < e.batch; ++b) {
        const auto o = unit(sequence_of(in.r, b), sequence_of(in.k, b), sequence_of(in.v, b));
        CHECK(std::memcmp(o.data(), whole.data() + b * o.size(),
                          static_cast<std::size_t>(o.size()) * sizeof(T)) == 0);
    }
    const auto by_columns = column_major(in.k);
    auto o = column_major(whole);
    o.setZero();
    unit.into(o, in.r, by_columns, in.v);
    CHECK(same_bits(o, column_major(whole)));

    const auto gradient = unit.backward(in.d_o, in.r, in.k, in.v);
    Eigen::ThreadPool pool(3);
    CHECK(same_bits(unit(in.r, in.k, in.v, heed::on(pool)), whole));
    const auto shared = unit.backward(in.d_o, in.r, by_columns, in.v, heed::on(pool));
    CHECK(same_bits(shared.r, gradient.r));
    CHECK(same_bits(shared.k, column_major(gradient.k)));
    CHECK(same_bits(shared.v, gradient.v));
    CHECK(same_bits(shared.decay, gradient.decay));
    CHECK(same_bits(shared.bonus, gradient.bonus));
    CHECK(same_states(shared.state, gradient.state));

    heed::workspace memory;
    await_threads(pool);
    const auto call = [&] {
        unit.into(tokens_of(in.d_o, 0, e.tokens), in.r, in.k, in.v, heed::carry(last),
                  heed::on(pool), heed::in(memory));
    };
    for (int i = 0; i < 2; ++i) call();
    const std::size_t before = allocations();
    call();
    CHECK(allocations() == before);
}

TEST_CASE("rwkv in pieces is trained as in one") {
    generator random(1304);
    const rwkv_problem from(random, {2, 50, 3});
    rwkv_inputs<double> in(from);
    const auto unit = in.unit();
    const auto whole = unit.backward(in.d_o, in.r, in.k, in.v);
    const index half = 23, rest = 27;
    heed::unit_state<double> middle;
    unit(tokens_of(in.r, 0, half), tokens_of(in.k, 0, half), tokens_of(in.v, 0, half),
         heed::carry(middle));
    const auto second = unit.backward(tokens_of(in.d_o, half, rest), tokens_of(in.r, half, rest),
                                      tokens_of(in.k, half, rest), tokens_of(in.v, half, rest),
                                      heed::carry(middle));
    const auto first = unit.backward(tokens_of(in.d_o, 0, half), tokens_of(in.r, 0, half),
                                     tokens_of(in.k, 0, half), tokens_of(in.v, 0, half),
                                     heed::state_gradient(second.state));
    near_numbers("d_decay", (first.decay + second.decay).eval(), whole.decay, 1e-12);
    near_numbers("d_bonus", (first.bonus + second.bonus).eval(), whole.bonus, 1e-12);
    for (index t = 0; t < 50; ++t)
        for (index c = 0; c < 3; ++c) {
            const double found = t < half ? first.k(1, t, c) : second.k(1, t - half, c);
            CHECK(std::abs(found - whole.k(1, t, c)) <= 1e-12);
        }
}

TEST_CASE("rwkv at the edges: keys of any size, and NaN in its channel alone") {
    generator random(1305);
    const rwkv_problem from(random, {1, 40, 5});
    rwkv_inputs<float> in(from);
    const auto unit = in.unit();
    const auto plain = unit(in.r, in.k, in.v);
    constexpr float infinity = std::numeric_limits<float>::infinity(),
                    lowest = std::numeric_limits<float>::lowest();

    for (index t = 0; t < 40; ++t) {
        in.k(0, t, 0) = t < 10 ? -infinity : in.k(0, t, 0);  // nothing seen yet
        in.v(0, t, 0) = t < 10 ? NAN : in.v(0, t, 0);        // and not read
        in.k(0, t, 1) = lowest;
        in.k(0, t, 2) = t == 20 ? infinity : t % 2 == 0 ? 1e30F : -1e30F;
        if (t == 7) in.k(0, t, 3) = NAN;
        if (t == 7) in.r(0, t, 4) = NAN;
    }
    const auto o = unit(in.r, in.k, in.v);
    const auto gradient = unit.backward(in.d_o, in.r, in.k, in.v);
    for (index t = 0; t < 40; ++t) {
        CHECK((t >= 10 || o(0, t, 0) == 0));
        for (index c = 0; c < 3; ++c) {
            CHECK(std::abs(o(0, t, c)) <= 10);  // a mean of values
            CHECK(std::isfinite(gradient.r(0, t, c)));
            CHECK(std::isfinite(gradient.k(0, t, c)));
            CHECK(std::isfinite(gradient.v(0, t, c)));
        }
        CHECK(std::isnan(o(0, t, 3)) == (t >= 7));
        CHECK((t >= 7 || o(0, t, 3) == plain(0, t, 3)));
        CHECK(std::isnan(o(0, t, 4)) == (t == 7));
        CHECK((t == 7 || o(0, t, 4) == plain(0, t, 4)));
    }
    CHECK(std::isfinite(gradient.decay(2)));
}

TEST_CASE("rwkv refuses what does not fit") {
    generator random(1306);
    const rwkv_problem from(random, {2, 4, 3});
    rwkv_inputs<float> in(from);
    const auto unit = in.unit();
    check_refused<heed::shape_error>(
        "r has shape [2, 4, 3] and v has shape [2, 3, 3], but the two must be the same",
        [&] { unit(in.r, in.k, tokens_of(in.v, 0, 3)); });
    in.bonus.resize(2);
    check_refused<heed::shape_error>(
        "bonus has length 2 and r has shape [2, 4, 3], but there must be one number for each of "
        "its 3 channels",
        [&] { heed::rwkv(in.decay, in.bonus)(in.r, in.k, in.v); });
    in.bonus = {0, NAN, 0};
    check_refused<heed::argument_error>("heed::rwkv: bonus of channel 1 is nan, but must be finite",
                                        [&] { heed::rwkv(in.decay, in.bonus)(in.r, in.k, in.v); });
    check_refused<heed::argument_error>(
        "heed::rwkv: decay of channel 0 is 1000, but must be at most 709",
        [&] { heed::rwkv(std::vector<float>(3, 1000), std::vector<float>(3))(in.r, in.k, in.v); });
    in.bonus = {0, 0, 0};
    const auto good = heed::rwkv(in.decay, in.bonus);
    check_refused<heed::argument_error>(
        "o (shape [2, 4, 3]) overlaps k (shape [2, 4, 3]) in memory, but outputs must lie apart "
        "from inputs",
        [&] { good.into(in.k, in.r, in.k, in.v); });
    auto state = heed::unit_state<float>::from(Eigen::MatrixXf::Zero(2, 3));
    check_refused<heed::shape_error>(
        "the state has 1 parts of shape [2, 3], but this call's has 4 of shape [2, 3]",
        [&] { good(in.r, in.k, in.v, heed::carry(state)); });
    CHECK_THROWS_AS(good.backward(in.d_o, in.r, in.k, in.v, heed::state_gradient(state)),
                    heed::shape_error);
    CHECK_THROWS_AS(heed::unit_state<float>::from(Eigen::MatrixXf(2, 3), Eigen::MatrixXf(2, 2)),
                    heed::shape_error);
    CHECK_THROWS_AS(state.part(1), heed::argument_error);
    auto gradient = good.backward(in.d_o, in.r, in.k, in.v);
    gradient.decay.resize(2);
    check_refused<heed::shape_error>(
        "d_decay has shape [2, 1], but must be a vector of length 3",
        [&] { good.backward_into(gradient, in.d_o, in.r, in.k, in.v); });
}

}  // namespace test_rwkv
