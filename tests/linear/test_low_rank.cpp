#include <algorithm>
#include <cmath>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/low_rank.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/low_rank_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"
#include "support/refused.hpp"
#include "support/same_bits.hpp"

namespace test_low_rank {

using namespace heed_test;
using heed::index;

/// Forward in T.
template <class T>
void check_output(const linear_problem& from, const reference::linear_options& how,
                  double tolerance) {
    const low_rank_parts<T> of(how);
    of.with_decay([&](const auto& decay) {
        check_forward<T>(from, how, tolerance, heed::causal, decay, of.update(), of.norm());
    });
}

/// Gradients in double, those of a, b and log decays too.
template <class... Parts>
void check_learned(generator& random, const linear_problem& from,
                   const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const low_rank_parts<double> of(how);
    const auto update = of.update();
    const auto norm = of.norm();
    of.with_decay([&](const auto& decay) {
        const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal,
                                                               update, decay, norm, parts...);
        compare_outputs(from, how, 1e-11, o);
        const auto gradients = heed::linear_attention_backward(
            in.d_o, o, stats, in.q, in.k, in.v, heed::causal, update, decay, norm, parts...);
        const auto& dg = gradients.template of<2>();
        tensor4<double> d_logs(0, 0, 0, 0);
        if (of.kind != fading::none) {
            const reference::tensor& logs = *how.log_decays;
            d_logs.resize(logs.batches(), logs.heads(), logs.rows(), logs.columns());
            std::copy_n(dg.data(), dg.size(), d_logs.data());
        }
        compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v,
                          of.kind == fading::none ? nullptr : &d_logs, nullptr, nullptr, nullptr,
                          nullptr, &gradients.template of<0>(), &gradients.template of<1>());
    });
}

TEST_CASE("an update of low rank is the recurrence, in any extents, beside any decays") {
    generator random(2010);
    for (int round = 0; round < 18; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        const auto kind = static_cast<fading>(round % 3);
        const bool unit_rows = random.chance(0.5);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e) << ", heads of a "
                     << heads << ", unit rows " << unit_rows << ", decays " << round % 3);
        linear_problem from = decay_problem(random, e, heads);
        stabilise(from, unit_rows);
        const auto logs = random_fading(random, e, random.chance(0.5) ? heads : 1, kind);
        const reference::linear_options how = correcting(random, from, heads, logs, unit_rows);
        check_output<float>(from, how, 2e-5);
        check_learned(random, from, how);
    }
}

TEST_CASE("an update of low rank over the states that backward keeps, documents, a rotation") {
    generator random(2011);
    INFO("seed " << seed());
    const linear_extents e{1, 2, 1, 2, 290, 290, 4, 3};
    linear_problem from(random, e);
    stabilise(from, false);
    for (const fading kind : {fading::tokens, fading::channels}) {
        reference::linear_options how =
            correcting(random, from, 2, random_fading(random, e, 2, kind), false);
        const auto frequencies = reference::plain_frequencies(4);
        how.turns = reference::rotation{frequencies, false, 1};
        check_learned(random, from, how, heed::rotary(heed::rope::frequencies(frequencies)));
        how.turns.reset();  // positions begin with a document
        const auto causal = how.visible;
        const std::vector<index> offsets{0, 17, 17, 200, 290}, lengths{77};
        how.visible = reference::both(causal, reference::documents(offsets));
        check_learned(random, from, how, heed::cumulative_lengths(offsets));
        how.visible = reference::both(causal, reference::key_lengths(lengths));
        check_learned(random, from, how, heed::key_lengths(lengths));
    }
}

TEST_CASE("the delta rule is of low rank: a = −β α⊙k, b = k, v → βv") {
    generator random(2012);
    const linear_extents e{1, 2, 2, 2, 70, 70, 5, 4};
    linear_problem from(random, e);
    stabilise(from, false);
    linear_inputs<double> in(from);
    const tensor4<double> g = to_tensor<double>(random_channel_decays(random, e, 2, false));
    const tensor3<double> beta = to_decays<double>(random_deltas(random, e, 2));
    const tensor4<double> expected = heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                            heed::log_decay(g), heed::delta(beta));
    tensor4<double> a = in.k;
    for (index i = 0; i < a.size(); ++i) a.data()[i] *= -beta.data()[i / 5] * std::exp(g.data()[i]);
    for (index i = 0; i < in.v.size(); ++i) in.v.data()[i] *= beta.data()[i / 4];
    const tensor4<double> o = heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                     heed::log_decay(g), heed::low_rank(a, in.k));
    for (index i = 0; i < o.size(); ++i)
        REQUIRE(o.data()[i] == Approx(expected.data()[i]).margin(1e-12));
}

/// A sequence whose values are more than a vector, and no multiple of one.
template <class T, class Decays>
auto wide_sequence(generator& random, index length, index batch = 2) {
    using numbers = low_rank_numbers<T, Decays>;
    const linear_extents e = sequence_extents(length, 5, 37, batch);
    return sequence<T, numbers>(random, e, numbers(random, e));
}

/// Pieces, threads and tokens that are taken back change no bit.
template <class Decays>
void check_bits(generator& random) {
    check_pieces_of<float>(random, [](generator& numbers, index length) {
        return wide_sequence<float, Decays>(numbers, length);
    });
    Eigen::ThreadPool pool(6);
    const auto all = wide_sequence<float, Decays>(random, 101, 1);
    CHECK(same_bits(all.whole(), all.whole(always_on(pool))));
    check_rewinding(random, all);
    heed::linear_state<float> state;
    tensor4<float> o = all.output();
    go_on(all, state, o, 0, 101);
    const auto by_delta = [&] {
        heed::linear_attention_into(o, all.in.q, all.in.k, all.in.v, heed::causal,
                                    heed::log_decay(all.g), heed::delta(0.5), heed::unit_rows,
                                    heed::carry(state));
    };
    check_refused<heed::argument_error>(
        "the state is of calls with heed::low_rank, but this one has another update", by_delta);
}
TEST_CASE("an update of low rank, in pieces, on threads and taken back, has the bits of one call") {
    generator random(2013);
    check_bits<token_decays<float>>(random);
    check_bits<channel_decays<float>>(random);
}

TEST_CASE("a state by an update of low rank is the recurrence's, and goes on from matrices") {
    generator random(2014);
    check_states(wide_sequence<double, token_decays<double>>(random, 90));
    check_states(wide_sequence<double, channel_decays<double>>(random, 90));
}

TEST_CASE("padding's rows of low rank are not read, nor what is cleared, and NaN goes on alone") {
    generator random(2015);
    faded_and_corrected<float> all(random, 70, 1);
    all.g.setConstant(-0.1F);
    const tensor4<float> usual = all.whole();
    auto unknown = all;
    unknown.a(0, 0, 40, 1) = not_a_number;
    unknown.b(0, 1, 33, 2) = not_a_number;
    const tensor4<float> o = unknown.whole();
    const tensor4<float> padded = unknown.whole(heed::key_lengths({33}));
    for (index t = 0; t < 70; ++t) {
        REQUIRE((t < 40 ? o(0, 1, t, 5) == usual(0, 1, t, 5) : std::isnan(o(0, 1, t, 5))));
        REQUIRE((t < 33 ? o(0, 2, t, 2) == usual(0, 2, t, 2) : std::isnan(o(0, 2, t, 2))));
        REQUIRE(std::isfinite(padded(0, 1, t, 5)));
        REQUIRE(std::isfinite(padded(0, 2, t, 2)));
    }
    for (const index at : {20, 32, 50}) {  // all channels are cleared
        auto bad = all;
        for (index f = 0; f < 5; ++f) bad.g(0, 0, at, f) = -1e30F;
        const tensor4<float> expected = bad.whole();
        for (index t = 0; t < at; ++t) bad.in.v(0, 0, t, 2) = not_a_number;
        const tensor4<float> dirty = bad.whole();
        for (index t = at; t < 70; ++t) REQUIRE(dirty(0, 1, t, 2) == expected(0, 1, t, 2));
    }
}

}  // namespace test_low_rank
