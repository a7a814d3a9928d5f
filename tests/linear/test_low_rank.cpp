#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include <Eigen/Core>
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

/// A sequence, whole and in pieces.
template <class T, fading Kind>
struct corrected_sequence {
    linear_problem from;
    reference::linear_options how;
    linear_inputs<T> in;
    low_rank_parts<T> of;

    corrected_sequence(generator& random, index length, index batch = 2)
        : from(random, {batch, 4, 2, 2, length, length, 5, 37}),
          how(correcting(random, from, 2, random_fading(random, from.sizes, 2, Kind), true)),
          in(from),
          of(how) {}

    const auto& logs() const {
        if constexpr (Kind == fading::tokens)
            return of.g;
        else
            return of.g_channels;
    }
    template <class... Parts>
    tensor4<T> whole(const Parts&... parts) const {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(logs()),
                                      of.update(), heed::unit_rows, parts...);
    }
};
template <class T, fading Kind, class... Parts>
void go_on(const corrected_sequence<T, Kind>& all, heed::linear_state<T>& state, tensor4<T>& o,
           index first, index count, const Parts&... parts) {
    heed::linear_attention_into(
        tokens(o, first, count), tokens(all.in.q, first, count), tokens(all.in.k, first, count),
        tokens(all.in.v, first, count), heed::causal,
        heed::log_decay(tokens(all.logs(), first, count)),
        heed::low_rank(tokens(all.of.a, first, count), tokens(all.of.b, first, count)),
        heed::unit_rows, heed::carry(state), parts...);
}

/// Pieces, threads and tokens that are taken back change no bit.
template <fading Kind>
void check_bits(generator& random) {
    using sequence = corrected_sequence<float, Kind>;
    check_pieces<sequence, float>(random);
    Eigen::ThreadPool pool(6);
    const sequence all(random, 101, 1);
    const tensor4<float> whole = all.whole();
    CHECK(same_bits(whole, all.whole(std::optional<heed::on_pool>(always_on(pool)))));
    heed::linear_state<float> state({.rewindable = true});
    tensor4<float> o(whole.dimensions());
    index taken_back = 0;
    for (index first = 0; first < 101;) {
        const index count = std::min<index>(101 - first, random.integer(1, 20));
        go_on(all, state, o, first, count);
        if (state.can_rewind() >= count) {
            state.rewind(count);
            REQUIRE(state.length() == first);
            go_on(all, state, o, first, count);
            taken_back += count;
        }
        first += count;
    }
    CHECK(taken_back > 0);
    CHECK(same_bits(o, whole));
    const auto by_delta = [&] {
        heed::linear_attention_into(o, all.in.q, all.in.k, all.in.v, heed::causal,
                                    heed::log_decay(all.logs()), heed::delta(0.5), heed::unit_rows,
                                    heed::carry(state));
    };
    check_refused<heed::argument_error>(
        "the state is of calls with heed::low_rank, but this one has another update", by_delta);
}
TEST_CASE("an update of low rank, in pieces, on threads and taken back, has the bits of one call") {
    generator random(2013);
    check_bits<fading::tokens>(random);
    check_bits<fading::channels>(random);
}

TEST_CASE("a state by an update of low rank is the recurrence's, and goes on from matrices") {
    generator random(2014);
    const auto check = [&](const auto& all) {
        reference::tensor expected(2, 4, 90, 37);
        heed::linear_state<double> state;
        tensor4<double> o(2, 4, 90, 37), matrices(2, 2, 37, 5);
        go_on(all, state, o, 0, 45);
        double difference = 0;
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const auto states = reference::recurrence(all.from.q, all.from.k, all.from.v,
                                                          all.how, b, 2 * h, expected);
                const Eigen::MatrixXd s = state.matrix(b, h);
                for (index c = 0; c < 37; ++c) {
                    for (index f = 0; f < 5; ++f) {
                        matrices(b, h, c, f) = s(c, f);
                        const double x =
                            states[44][static_cast<std::size_t>(c)][static_cast<std::size_t>(f)];
                        difference = std::max(difference, std::abs(s(c, f) - x));
                    }
                }
            }
        }
        auto given = heed::linear_state<double>::from(matrices);
        go_on(all, given, o, 45, 45);
        const tensor4<double> whole = all.whole();
        for (index e = 0; e < o.size(); ++e)
            difference = std::max(difference, std::abs(o.data()[e] - whole.data()[e]));
        CHECK(difference <= 1e-12);
    };
    check(corrected_sequence<double, fading::tokens>(random, 90));
    check(corrected_sequence<double, fading::channels>(random, 90));
}

TEST_CASE("padding's rows of low rank are not read, nor what is cleared, and NaN goes on alone") {
    generator random(2015);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    corrected_sequence<float, fading::channels> all(random, 70, 1);
    all.of.g_channels.setConstant(-0.1F);
    const tensor4<float> usual = all.whole();
    auto unknown = all;
    unknown.of.a(0, 0, 40, 1) = nan;
    unknown.of.b(0, 1, 33, 2) = nan;
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
        for (index f = 0; f < 5; ++f) bad.of.g_channels(0, 0, at, f) = -1e30F;
        const tensor4<float> expected = bad.whole();
        for (index t = 0; t < at; ++t) bad.in.v(0, 0, t, 2) = nan;
        const tensor4<float> dirty = bad.whole();
        for (index t = at; t < 70; ++t) REQUIRE(dirty(0, 1, t, 2) == expected(0, 1, t, 2));
    }
}

}  // namespace test_low_rank
