// Recurrent units are what transformers' function of RWKV-4 computes, and what the paper of the
// linear recurrent unit writes, forward and backward.

#include <algorithm>
#include <cmath>
#include <string>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/linear/units/linear_recurrent_unit.hpp>
#include <heed/linear/units/rwkv.hpp>
#include <heed/linear/units/unit_state.hpp>

#include "golden.hpp"
#include "golden_numbers.hpp"
#include "support/catch.hpp"

namespace golden {
namespace test_golden_units {

using state = heed::unit_state<double>;
using part = state::matrix_type;

constexpr double error = 1e-10;  // of 12 digits

/// Columns first … first + count − 1 of a part of a state.
part part_of(const example& from, const std::string& label, Eigen::Index first,
             Eigen::Index count) {
    const array& all = from[label];
    const Eigen::Map<const part> values(all.values.data(), all.extents[0], all.extents[1]);
    return values.middleCols(first, count);
}

TEST_CASE("rwkv is transformers'", "[golden][linear]") {
    for (const std::string name : {"rwkv", "rwkv_with_state"}) {
        INFO(name);
        const example& from = load("units", name);
        const auto r = from.tensor<double, 3>("r"), k = from.tensor<double, 3>("k"),
                   v = from.tensor<double, 3>("v"), d_o = from.tensor<double, 3>("d_o");
        const auto unit = heed::rwkv(from.numbers<double>("decay"), from.numbers<double>("bonus"));
        const Eigen::Index channels = r.dimension(2);
        state before;
        if (from.has("size"))
            before = state::from(part_of(from, "numerator", 0, channels),
                                 part_of(from, "denominator", 0, channels),
                                 part_of(from, "size", 0, channels));
        state last = before;
        check_numbers("o", unit(r, k, v, heed::carry(last)), from["o"], error);
        const part scale =
            (last.part(2) + last.part(3)).unaryExpr([](double m) { return std::exp(m); });
        check_numbers("last_numerator", last.part(0).cwiseProduct(scale).eval(),
                      from["last_numerator"], error);
        check_numbers("last_denominator", last.part(1).cwiseProduct(scale).eval(),
                      from["last_denominator"], error);
        const auto d = unit.backward(d_o, r, k, v, heed::carry(before));
        check_numbers("d_r", d.r, from["d_r"], error);
        check_numbers("d_k", d.k, from["d_k"], 1e-7);  // theirs goes through a float
        check_numbers("d_v", d.v, from["d_v"], error);
        check_numbers("d_decay", d.decay, from["d_decay"], error);
        check_numbers("d_bonus", d.bonus, from["d_bonus"], error);
        if (!from.has("size")) continue;
        check_numbers("d_numerator", d.state.part(0), from["d_numerator"], error);
        check_numbers("d_denominator", d.state.part(1), from["d_denominator"], error);
    }
}

TEST_CASE("the linear recurrent unit is its paper's", "[golden][linear]") {
    const example& from = load("units", "linear_recurrent_unit");
    const auto u = from.tensor<double, 3>("u"), dx = from.tensor<double, 3>("d_o");
    const auto unit = heed::linear_recurrent_unit(from.numbers<double>("nu_log"),
                                                  from.numbers<double>("theta_log"),
                                                  from.numbers<double>("gamma"));
    const Eigen::Index channels = unit.channels();
    const state before = state::from(part_of(from, "state", 0, channels),
                                     part_of(from, "state", channels, channels));
    state last = before;
    const auto x = unit(u, heed::carry(last));
    check_numbers("x", x, from["x"], error);
    const auto d = unit.backward(dx, x, u, heed::carry(before));
    check_numbers("d_u", d.u, from["d_u"], error);
    check_numbers("d_nu_log", d.nu_log, from["d_nu_log"], error);
    check_numbers("d_theta_log", d.theta_log, from["d_theta_log"], error);
    check_numbers("d_gamma", d.gamma, from["d_gamma"], error);
    part d_state(d.state.batch(), 2 * channels);
    d_state << d.state.part(0), d.state.part(1);
    check_numbers("d_state", d_state, from["d_state"], error);
}

}  // namespace test_golden_units
}  // namespace golden
