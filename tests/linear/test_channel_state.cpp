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
#include <heed/core/workspace.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/channel_problem.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "support/allocations.hpp"

namespace test_channel_state {

using namespace heed_test;
using heed::index;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Inputs, and decays of every token and channel, of which some are cleared.
template <class T>
struct faded {
    linear_problem from;
    reference::tensor logs;
    linear_inputs<T> in;
    tensor4<T> g;

    faded(generator& random, index length, index batch = 2)
        : from(random, {batch, 4, 2, 2, length, length, 5, 7}),
          logs(random_channel_decays(random, from.sizes, 2)),
          in(from),
          g(to_tensor<T>(logs)) {}

    template <class... Parts>
    tensor4<T> whole(const Parts&... parts) const {
        return heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::log_decay(g), parts...);
    }
};

/// o of some tokens, from a state that has seen those before.
template <class T>
void go_on(const faded<T>& all, heed::linear_state<T>& state, tensor4<T>& o, index first,
           index count) {
    heed::linear_attention_into(tokens(o, first, count), tokens(all.in.q, first, count),
                                tokens(all.in.k, first, count), tokens(all.in.v, first, count),
                                heed::causal, heed::log_decay(tokens(all.g, first, count)),
                                heed::carry(state));
}

TEST_CASE("with decays a channel too a sequence in pieces has the bits of one call") {
    generator random(1970);
    check_pieces<faded<float>, float>(random);
    check_pieces<faded<double>, double>(random);
}

TEST_CASE("threads, batches and documents change no bit beside decays a channel") {
    generator random(1971);
    Eigen::ThreadPool pool(3);
    const faded<float> all(random, 101);
    const auto& in = all.in;
    const auto part = heed::learn(heed::log_decay(all.g));
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, part);
    const auto gradients =
        heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, part);
    CHECK(same_bits(o, all.whole()));
    CHECK(same_bits(o, all.whole(always_on(pool))));
    for (int time = 0; time < 3; ++time) {
        const auto threaded = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                              heed::causal, part, always_on(pool));
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
    const auto alone = heed::linear_attention(second(in.q), second(in.k), second(in.v),
                                              heed::causal, heed::log_decay(second(all.g)));
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), o.data() + alone.size()));

    const std::vector<index> offsets{0, 3, 50, 50, 87, 101};
    const tensor4<float> packed = all.whole(heed::cumulative_lengths(offsets));
    tensor4<float> one_by_one(packed.dimensions());
    for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
        const index first = offsets[d], count = offsets[d + 1] - first;
        heed::linear_state<float> state;
        if (count > 0) go_on(all, state, one_by_one, first, count);
    }
    CHECK(same_bits(packed, one_by_one));
}

TEST_CASE("what is taken back has never been, be it the token that cleared a channel") {
    generator random(1972);
    for (const bool rewindable : {false, true}) {
        faded<float> all(random, 110);
        for (index t = 4; t < 110; t += 7)
            all.g(0, t % 2, t, t % 5) = static_cast<float>(-HUGE_VAL);
        const tensor4<float> whole = all.whole();
        heed::linear_state<float> state({.rewindable = rewindable});
        tensor4<float> o(whole.dimensions());
        o.setZero();
        faded<float> wrong = all;  // drafts that are taken back
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

TEST_CASE("a draft whose first token clears a channel leaves nothing behind") {
    generator random(1973);
    faded<float> all(random, 75);
    all.g.setConstant(-0.1F);
    for (const bool rewindable : {false, true}) {
        for (const index first : {0, 1, 20, 31, 32, 33, 64}) {
            INFO("seed " << seed() << ", rewindable " << rewindable << ", token " << first);
            faded<float> draft = all;
            draft.g(0, 1, first, 3) = -1e30F;
            draft.in.k = draft.in.k * draft.in.k.constant(2);
            heed::linear_state<float> state({.rewindable = rewindable});
            tensor4<float> o(2, 4, 75, 7);
            if (first > 0) go_on(all, state, o, 0, first);
            go_on(draft, state, o, first, 3);
            // What the token cleared is in older memory alone, which at token 32 became that of the
            // chunk that token 31 began.
            const bool all_back = first == 0 || (rewindable && first != 31);
            REQUIRE((state.can_rewind() >= 3) == all_back);
            if (!all_back) continue;
            state.rewind(3);
            go_on(all, state, o, first, 75 - first);
            CHECK(same_bits(o, all.whole()));
        }
    }
}

TEST_CASE("a state with decays a channel is the recurrence's, and goes on from matrices") {
    generator random(1974);
    const faded<double> all(random, 90);
    const reference::linear_options how = with_decays(all.from, all.logs);
    reference::tensor expected(2, 4, 90, 7);
    heed::linear_state<double> state;
    tensor4<double> o(2, 4, 90, 7), matrices(2, 2, 7, 5);
    index seen = 0;
    for (const index count : {45, 1, 18}) {
        go_on(all, state, o, seen, count);
        seen += count;
        double difference = 0;
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const auto states = reference::recurrence(all.from.q, all.from.k, all.from.v, how,
                                                          b, 2 * h, expected);
                const Eigen::MatrixXd s = state.matrix(b, h);
                for (index c = 0; c < 7; ++c) {
                    for (index f = 0; f < 5; ++f) {
                        matrices(b, h, c, f) = s(c, f);
                        const double x =
                            states[static_cast<std::size_t>(seen) - 1][static_cast<std::size_t>(c)]
                                  [static_cast<std::size_t>(f)];
                        difference = std::max(difference, std::abs(s(c, f) - x));
                    }
                }
            }
        }
        CHECK(difference <= 1e-12);
    }
    auto given = heed::linear_state<double>::from(matrices);
    go_on(all, given, o, seen, 90 - seen);
    const tensor4<double> whole = all.whole();
    double difference = 0;
    for (index e = 0; e < o.size(); ++e)
        difference = std::max(difference, std::abs(o.data()[e] - whole.data()[e]));
    CHECK(difference <= 1e-12);
}

TEST_CASE("what a cleared channel had is not read, and NaN stays behind its token") {
    generator random(1975);
    faded<float> all(random, 75, 1);
    all.g.setConstant(-0.1F);
    const tensor4<float> usual = all.whole();
    for (const index at : {0, 1, 20, 31, 32, 50, 74}) {
        INFO("token " << at);
        faded<float> bad = all;
        bad.g(0, 0, at, 2) = -1e30F;
        const tensor4<float> expected = bad.whole();
        for (index t = 0; t < at; ++t) bad.g(0, 0, t, 2) = nan;
        for (index t = 0; t < at; ++t)
            bad.in.k(0, 0, t, 2) = std::numeric_limits<float>::infinity();
        const tensor4<float> dirty = bad.whole();
        faded<float> unknown = all;
        unknown.g(0, 1, at, 3) = nan;
        const tensor4<float> o = unknown.whole();
        double difference = 0;
        for (index t = 0; t < 75; ++t) {
            for (index c = 0; c < 7; ++c) {
                // Where chunks end depends on the tokens before: the same to rounding.
                if (t >= at)
                    difference = std::max(difference, std::abs(double(dirty(0, 0, t, c)) -
                                                               double(expected(0, 0, t, c))));
                REQUIRE(dirty(0, 2, t, c) == usual(0, 2, t, c));
                REQUIRE(o(0, 0, t, c) == usual(0, 0, t, c));
                REQUIRE((t < at ? o(0, 2, t, c) == usual(0, 2, t, c) : std::isnan(o(0, 2, t, c))));
            }
        }
        CHECK(difference <= 1e-5);
    }
}

TEST_CASE("padding's decays a channel are not read, and nothing is allocated by a second call") {
    generator random(1976);
    const faded<float> all(random, 300);
    tensor4<float> g = all.g;
    const std::vector<index> lengths{33, 0};
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = lengths[static_cast<std::size_t>(b)]; t < 300; ++t)
                g(b, h, t, t % 5) = t % 2 == 0 ? nan : 5.F;
    heed::workspace memory;
    heed::linear_state<float> state({.rewindable = true});
    heed::linear_stats<float> stats;
    const auto& in = all.in;
    tensor4<float> o(in.d_o.dimensions());
    tensor4<float> dq(in.q.dimensions()), dk(in.k.dimensions()), dv(in.v.dimensions());
    tensor4<float> dg(g.dimensions());
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
    for (const tensor4<float>* x : {&dq, &dk, &dv, &dg})
        for (index e = 0; e < x->size(); ++e) REQUIRE(std::isfinite(x->data()[e]));
    for (index t = 33; t < 300; ++t) REQUIRE(dg(0, 1, t, 2) == 0);
    for (index t = 0; t < 300; ++t) REQUIRE(dg(1, 0, t, 4) == 0);

    // A padded piece goes on with nothing: its rows see what was before.
    heed::linear_state<float> padded;
    heed::linear_attention_into(tokens(o, 0, 40), tokens(in.q, 0, 40), tokens(in.k, 0, 40),
                                tokens(in.v, 0, 40), heed::causal,
                                heed::log_decay(tokens(all.g, 0, 40)), heed::carry(padded));
    const tensor4<float> first = o;
    heed::linear_attention_into(tokens(o, 39, 1), tokens(in.q, 39, 1), tokens(in.k, 39, 1),
                                tokens(in.v, 39, 1), heed::causal,
                                heed::log_decay(tokens(g, 39, 1)), heed::carry(padded),
                                heed::key_lengths({0, 0}));
    CHECK(same_bits(o, first));
    CHECK(padded.length() == 40);
}

}  // namespace test_channel_state
