#include <cmath>
#include <optional>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_problem.hpp"
#include "linear/erase_problem.hpp"
#include "linear/problem.hpp"
#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

namespace test_erase {

using namespace heed_test;
using heed::index;

/// Forward in T.
template <class T, class... Parts>
void check_output(const linear_problem& from, const reference::linear_options& how,
                  double tolerance, const Parts&... parts) {
    const erase_parts<T> of(how);
    check_forward<T>(from, how, tolerance, heed::causal, of.decay(), of.erase(), of.norm(),
                     parts...);
}
/// Gradients in double, those of e, w and log decays too.
template <class... Parts>
void check_learned(generator& random, const linear_problem& from,
                   const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const erase_parts<double> of(how);
    const auto decay = of.decay();
    const auto erase = of.erase();
    const auto norm = of.norm();
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, erase,
                                                           decay, norm, parts...);
    const auto gradients = heed::linear_attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::causal, erase, decay, norm, parts...);
    const auto& [dq, dk, dv, d_erased, d_written, dg] = gradients;
    const tensor4<double> d_logs = as_four(dg);
    compare_gradients(random, from, how, dq, dk, dv, of.decays ? &d_logs : nullptr, nullptr,
                      &d_erased, &d_written);
}

TEST_CASE("erasing by channels is the recurrence, in any extents, with decays and without") {
    generator random(1010);
    for (int round = 0; round < 10; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        const bool unit_rows = random.chance(0.5), decays = random.chance(0.6);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e) << ", heads of e "
                     << heads << ", unit rows " << unit_rows << ", decays " << decays);
        linear_problem from = decay_problem(random, e, heads);
        stabilise(from, unit_rows);
        std::optional<reference::tensor> logs;
        if (decays) logs = random_decays(random, e, random.chance(0.5) ? heads : 1);
        const reference::linear_options how = erasing(random, from, heads, logs, unit_rows);
        check_output<double>(from, how, 1e-11);
        check_output<float>(from, how, 2e-5);
        check_learned(random, from, how);
    }
}

TEST_CASE("erasing beside decays a channel is the recurrence") {
    generator random(1015);
    for (int round = 0; round < 7; ++round) {
        auto [e, heads] = random_decay_extents(random);
        if (round == 6) {  // over the states that backward keeps
            e = {1, 2, 1, 2, 290, 290, 4, 3};
            heads = 2;
        }
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e) << ", heads of e "
                     << heads);
        const linear_problem from = decay_problem(random, e, heads);
        const reference::tensor logs =
            random_channel_decays(random, e, random.chance(0.5) ? heads : 1);
        const reference::linear_options how = erasing(random, from, heads, logs, true);
        check_forward<float>(
            from, how, 2e-5, heed::causal, heed::log_decay(to_tensor<float>(logs)),
            heed::erase(to_tensor<float>(*how.erased), to_tensor<float>(*how.written)),
            heed::unit_rows);
        const linear_inputs<double> in(from);
        const auto decay = heed::learn(heed::log_decay(to_tensor<double>(logs)));
        const auto erase = heed::learn(
            heed::erase(to_tensor<double>(*how.erased), to_tensor<double>(*how.written)));
        const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal,
                                                               decay, erase, heed::unit_rows);
        compare_outputs(from, how, 1e-11, o);
        const auto gradients = heed::linear_attention_backward(
            in.d_o, o, stats, in.q, in.k, in.v, heed::causal, decay, erase, heed::unit_rows);
        compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v,
                          &gradients.of<0>(), nullptr, &gradients.of<1>(), &gradients.of<2>());
    }
}

TEST_CASE("erasing over the states that backward keeps, documents, padding and a rotation") {
    generator random(1011);
    INFO("seed " << seed());
    const linear_extents e{1, 2, 1, 2, 290, 290, 4, 3};
    linear_problem from(random, e);
    stabilise(from, false);
    const reference::tensor logs = random_decays(random, e, 2);
    reference::linear_options how = erasing(random, from, 2, logs, false);
    const auto frequencies = reference::plain_frequencies(4);
    how.turns = reference::rotation{frequencies, false, 1};
    const auto rotary = heed::rotary(heed::rope::frequencies(frequencies));
    check_learned(random, from, how, rotary);
    how.turns.reset();  // positions begin with a document, and e turns with none
    const auto causal = how.visible;
    const std::vector<index> offsets{0, 40, 40, 200, 290}, lengths{77};
    how.visible = reference::both(causal, reference::documents(offsets));
    check_learned(random, from, how, heed::cumulative_lengths(offsets));
    how.visible = reference::both(causal, reference::key_lengths(lengths));
    check_learned(random, from, how, heed::key_lengths(lengths));
}

TEST_CASE("the same share of all channels is the delta rule") {
    generator random(1012);
    const linear_extents e{1, 2, 2, 2, 70, 70, 5, 4};
    const linear_inputs<double> in(linear_problem(random, e));
    tensor3<double> beta = to_decays<double>(random_deltas(random, e, 2));
    tensor4<double> erased(1, 2, 70, 5), written(1, 2, 70, 4);
    for (index i = 0; i < erased.size(); ++i) erased.data()[i] = beta.data()[i / 5];
    for (index i = 0; i < written.size(); ++i) written.data()[i] = beta.data()[i / 4];
    const tensor4<double> a =
        heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::delta(beta), heed::unit_rows);
    const tensor4<double> b = heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                     heed::erase(erased, written), heed::unit_rows);
    for (index i = 0; i < a.size(); ++i) REQUIRE(a.data()[i] == Approx(b.data()[i]).margin(1e-12));
}

TEST_CASE("erasing by channels, in pieces and on threads, has the bits of one call") {
    generator random(1013);
    check_pieces<erased_sequence<float>, float>(random);
    check_threads(erased_sequence<float>(random, 101, 1), 6);  // strips of columns
}

TEST_CASE("padding's shares are not read, and NaN reaches later rows alone") {
    generator random(1014);
    erased_sequence<float> all(random, 70, 1);
    all.g.setConstant(-0.1F);
    const tensor4<float> usual = all.whole();
    erased_sequence<float> unknown = all;
    unknown.erased(0, 0, 40, 1) = not_a_number;
    unknown.written(0, 1, 33, 2) = not_a_number;
    const tensor4<float> o = unknown.whole();
    const tensor4<float> padded = unknown.whole(heed::key_lengths({33}));
    for (index t = 0; t < 70; ++t) {
        REQUIRE((t < 40 ? o(0, 1, t, 5) == usual(0, 1, t, 5) : std::isnan(o(0, 1, t, 5))));
        REQUIRE(std::isnan(o(0, 2, t, 2)) == (t >= 33));
        REQUIRE(o(0, 2, t, 3) == usual(0, 2, t, 3));
        REQUIRE(std::isfinite(padded(0, 1, t, 5)));
        REQUIRE(std::isfinite(padded(0, 2, t, 2)));
    }
}

}  // namespace test_erase
