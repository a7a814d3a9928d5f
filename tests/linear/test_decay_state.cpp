#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/decay_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "support/allocations.hpp"

namespace test_decay_state {

using namespace heed_test;
using heed::index;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Inputs, and decays of every token of which some begin anew.
template <class T>
struct decayed {
    linear_problem from;
    reference::tensor logs;
    linear_inputs<T> in;
    tensor3<T> g;

    decayed(generator& random, index length, index dim = 5)
        : from(random, {2, 4, 2, 2, length, length, dim, 7}),
          logs(random_decays(random, from.sizes, 2)),
          in(from),
          g(to_decays<T>(logs)) {}

    tensor4<T> whole() const {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(g));
    }
};

/// o of some tokens, from a state that has seen those before.
template <class T>
void go_on(const decayed<T>& all, heed::linear_state<T>& state, tensor4<T>& o, index first,
           index count) {
    heed::linear_attention_into(tokens(o, first, count), tokens(all.in.q, first, count),
                                tokens(all.in.k, first, count), tokens(all.in.v, first, count),
                                heed::causal, heed::log_decay(tokens(all.g, first, count)),
                                heed::carry(state));
}

TEST_CASE("with decays too a sequence in pieces has the bits of one call") {
    generator random(970);
    check_pieces<decayed<float>, float>(random);
    check_pieces<decayed<double>, double>(random);
}

TEST_CASE("threads, batches and documents change no bit beside decays") {
    generator random(971);
    Eigen::ThreadPool pool(3);
    const decayed<float> all(random, 101);
    const auto& in = all.in;
    const auto part = heed::learn(heed::log_decay(all.g));
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, part);
    const auto gradients =
        heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, part);
    for (int time = 0; time < 3; ++time) {
        const auto [o2, stats2] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, part, always_on(pool));
        const auto threaded = heed::linear_attention_backward(in.d_o, o2, stats2, in.q, in.k, in.v,
                                                              heed::causal, part, always_on(pool));
        CHECK(same_bits(o, o2));
        CHECK(same_bits(gradients.q, threaded.q));
        CHECK(same_bits(gradients.k, threaded.k));
        CHECK(same_bits(gradients.v, threaded.v));
        CHECK(same_bits(gradients.of<0>(), threaded.of<0>()));
    }
    // The second sequence of the batch alone.
    const auto second = [](const tensor4<float>& x) {
        return heed::view(x.data() + x.size() / 2,
                          {index(1), x.dimension(1), x.dimension(2), x.dimension(3)});
    };
    const auto g = heed::view(all.g.data() + all.g.size() / 2, {1, 2, 101});
    const auto alone = heed::linear_attention(second(in.q), second(in.k), second(in.v),
                                              heed::causal, heed::log_decay(g));
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), o.data() + alone.size()));

    const std::vector<index> offsets{0, 3, 50, 50, 87, 101};
    const tensor4<float> packed = heed::linear_attention(
        in.q, in.k, in.v, heed::causal, heed::cumulative_lengths(offsets), heed::log_decay(all.g));
    tensor4<float> one_by_one(packed.dimensions());
    for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
        const index first = offsets[d], count = offsets[d + 1] - first;
        heed::linear_state<float> state;
        if (count > 0) go_on(all, state, one_by_one, first, count);
    }
    CHECK(same_bits(packed, one_by_one));
}

TEST_CASE("what is taken back has never been, be it the token that began anew") {
    generator random(972);
    for (const bool rewindable : {false, true}) {
        decayed<float> all(random, 110);
        for (index t = 5; t < 110; t += 7) all.g(0, t % 2, t) = static_cast<float>(-HUGE_VAL);
        const tensor4<float> whole = all.whole();
        heed::linear_state<float> state({.rewindable = rewindable});
        tensor4<float> o(whole.dimensions());
        o.setZero();
        decayed<float> wrong = all;  // drafts that are taken back
        wrong.g = wrong.g * wrong.g.constant(3);
        wrong.in.k = wrong.in.k * wrong.in.k.constant(2);
        index taken_back = 0;
        for (index first = 0; first < 110;) {
            const index count = std::min<index>(110 - first, random.integer(1, 12));
            go_on(all, state, o, first, count);
            first += count;
            const index draft = std::min<index>(110 - first, random.integer(0, 4));
            if (draft > 0) {
                heed::linear_state<float> fork = state;
                go_on(wrong, fork, o, first, draft);
                if (fork.can_rewind() >= draft) {
                    fork.rewind(draft);
                    state = fork;
                    taken_back += draft;
                }
            }
            REQUIRE(state.length() == first);
        }
        CHECK(taken_back > 0);
        CHECK(same_bits(o, whole));
        CHECK_THROWS_AS(state.rewind(state.can_rewind() + 1), heed::argument_error);
    }
}

TEST_CASE("a draft whose first token alone begins anew leaves nothing behind") {
    generator random(977);
    decayed<float> all(random, 75);
    all.g.setConstant(-0.1F);
    for (const bool rewindable : {false, true}) {
        for (const index first : {1, 20, 31, 32, 33, 45}) {
            INFO("seed " << seed() << ", rewindable " << rewindable << ", token " << first);
            decayed<float> kept = all;
            kept.g(0, 1, first) = static_cast<float>(-HUGE_VAL);
            decayed<float> draft = kept;
            draft.in.k = draft.in.k * draft.in.k.constant(2);
            heed::linear_state<float> state({.rewindable = rewindable});
            tensor4<float> o(2, 4, 75, 7);
            go_on(all, state, o, 0, first);
            go_on(kept, state, o, first, 1);
            go_on(draft, state, o, first + 1, 3);
            // Off the grid what was before that token is in older memory alone, which at token 32
            // became that of the chunk that it began.
            const bool all_back = first == 32 || (rewindable && first != 31);
            REQUIRE((state.can_rewind() >= 4) == all_back);
            CHECK(state.can_rewind() >= 3);
            state.rewind(all_back ? 4 : 3);
            const decayed<float>& true_one = all_back ? all : kept;
            go_on(true_one, state, o, state.length(), 75 - state.length());
            CHECK(same_bits(o, true_one.whole()));
        }
    }
}

TEST_CASE("a state with decays is the recurrence's, and goes on from matrices") {
    generator random(973);
    const decayed<double> all(random, 90);
    const reference::linear_options how = with_decays(all.from, all.logs);
    reference::tensor expected(2, 4, 90, 7);
    heed::linear_state<double> state;
    tensor4<double> o(2, 4, 90, 7);
    index seen = 0;
    for (const index count : {45, 1, 18}) {
        go_on(all, state, o, seen, count);
        seen += count;
        REQUIRE(state.heads() == 2);
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const auto states = reference::recurrence(all.from.q, all.from.k, all.from.v, how,
                                                          b, 2 * h, expected);
                const Eigen::MatrixXd s = state.matrix(b, h);
                for (index c = 0; c < 7; ++c)
                    for (index f = 0; f < 5; ++f)
                        CHECK(
                            s(c, f) ==
                            Approx(states[static_cast<std::size_t>(seen) - 1]
                                         [static_cast<std::size_t>(c)][static_cast<std::size_t>(f)])
                                .margin(1e-12));
                CHECK(state.denominator(b, h).isZero(0));
            }
        }
    }
    Eigen::Tensor<double, 4, Eigen::RowMajor> matrices(2, 2, 7, 5);
    for (index b = 0; b < 2; ++b) {
        for (index h = 0; h < 2; ++h) {
            const Eigen::MatrixXd s = state.matrix(b, h);
            for (index c = 0; c < 7; ++c)
                for (index f = 0; f < 5; ++f) matrices(b, h, c, f) = s(c, f);
        }
    }
    auto given = heed::linear_state<double>::from(matrices);
    go_on(all, given, o, seen, 90 - seen);
    const tensor4<double> whole = all.whole();
    for (index e = 0; e < o.size(); ++e)
        CHECK(o.data()[e] == Approx(whole.data()[e]).margin(1e-12));
}

TEST_CASE("nothing before a token that begins anew is read, and NaN stays behind its own") {
    generator random(974);
    decayed<float> all(random, 75);
    all.g.setConstant(-0.1F);
    for (const index at : {0, 1, 20, 31, 32, 50, 74}) {
        INFO("token " << at);
        decayed<float> bad = all;
        bad.g(0, 0, at) = -1e30F;
        decayed<float> clean = bad;
        for (index t = 0; t < at; ++t) {
            bad.in.v(0, 0, t, 2) = static_cast<float>(nan);
            bad.in.k(0, 0, t, 1) = std::numeric_limits<float>::infinity();
            bad.g(0, 0, t) = static_cast<float>(nan);
        }
        const tensor4<float> dirty = bad.whole(), expected = clean.whole();
        for (index h = 0; h < 4; ++h)
            for (index t = h < 2 ? at : 0; t < 75; ++t)
                for (index c = 0; c < 7; ++c) CHECK(dirty(0, h, t, c) == expected(0, h, t, c));
        decayed<float> unknown = all;
        unknown.g(0, 1, at) = static_cast<float>(nan);
        const tensor4<float> o = unknown.whole(), usual = all.whole();
        for (index t = 0; t < 75; ++t) {
            for (index c = 0; c < 7; ++c) {
                CHECK(o(0, 0, t, c) == usual(0, 0, t, c));
                if (t < at)
                    CHECK(o(0, 2, t, c) == usual(0, 2, t, c));
                else
                    CHECK(std::isnan(o(0, 2, t, c)));
            }
        }
    }
}

TEST_CASE("gradients before a token that begins anew do not see what is behind it") {
    generator random(975);
    decayed<double> all(random, 75);
    all.g.setConstant(-0.1);
    all.g(0, 0, 40) = -HUGE_VAL;
    const auto gradients_of = [](const decayed<double>& x) {
        const auto decay = heed::learn(heed::log_decay(x.g));
        const auto [o, stats] =
            heed::linear_attention_forward(x.in.q, x.in.k, x.in.v, heed::causal, decay);
        return heed::linear_attention_backward(x.in.d_o, o, stats, x.in.q, x.in.k, x.in.v,
                                               heed::causal, decay);
    };
    const auto clean = gradients_of(all);
    CHECK(clean.of<0>()(0, 0, 40) == 0);
    CHECK(clean.of<0>()(0, 0, 0) == 0);
    decayed<double> bad = all;
    for (index t = 40; t < 75; ++t)
        bad.in.d_o(0, 0, t, 1) = bad.in.q(0, 1, t, 2) = bad.in.v(0, 0, t, 3) = nan;
    const auto dirty = gradients_of(bad);
    for (index t = 0; t < 40; ++t) {
        CHECK(dirty.of<0>()(0, 0, t) == clean.of<0>()(0, 0, t));
        for (index c = 0; c < 5; ++c) {
            CHECK(dirty.q(0, 0, t, c) == clean.q(0, 0, t, c));
            CHECK(dirty.k(0, 0, t, c) == clean.k(0, 0, t, c));
        }
    }
}

TEST_CASE("padding's decays are not read, and nothing is allocated by a second call") {
    generator random(976);
    const decayed<float> all(random, 300);
    tensor3<float> g = all.g;
    const std::vector<index> lengths{33, 0};
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = lengths[static_cast<std::size_t>(b)]; t < 300; ++t)
                g(b, h, t) = t % 2 == 0 ? static_cast<float>(nan) : 5.F;
    heed::workspace memory;
    heed::linear_state<float> state({.rewindable = true});
    heed::linear_stats<float> stats;
    const auto& in = all.in;
    tensor4<float> o(in.d_o.dimensions());
    tensor4<float> dq(in.q.dimensions()), dk(in.k.dimensions()), dv(in.v.dimensions());
    tensor3<float> dg(g.dimensions());
    const auto run = [&] {
        const auto decay = heed::learn(heed::log_decay(g));
        heed::linear_attention_forward_into(o, stats, in.q, in.k, in.v, heed::causal, decay,
                                            heed::key_lengths(lengths), heed::in(memory));
        heed::linear_attention_backward_into(heed::into(dq, dk, dv, dg), in.d_o, o, stats, in.q,
                                             in.k, in.v, heed::causal, decay,
                                             heed::key_lengths(lengths), heed::in(memory));
        heed::linear_attention_into(o, in.q, in.k, in.v, heed::causal, heed::log_decay(all.g),
                                    heed::carry(state), heed::in(memory));
    };
    for (int time = 0; time < 2; ++time) run();
    const std::size_t before = allocations();
    for (int time = 0; time < 3; ++time) run();
    CHECK(allocations() == before);
    for (const tensor4<float>* x : {&dq, &dk, &dv})
        for (index e = 0; e < x->size(); ++e) CHECK(std::isfinite(x->data()[e]));
    for (index t = 0; t < 300; ++t) {
        CHECK(std::isfinite(dg(0, 1, t)));
        if (t >= 33) CHECK(dg(0, 1, t) == 0);
        CHECK(dg(1, 0, t) == 0);
    }
}

}  // namespace test_decay_state
