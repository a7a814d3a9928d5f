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
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/updates/delta.hpp>

#include "linear/delta_sequence.hpp"
#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "support/allocations.hpp"

namespace test_delta_state {

using namespace heed_test;
using heed::index;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("by the delta rule too a sequence in pieces has the bits of one call") {
    generator random(990);
    check_pieces<updated<float>, float>(random);
    check_pieces<updated<double>, double>(random);
}

TEST_CASE("threads share the columns of few heads, and change no bit") {
    generator random(991);
    Eigen::ThreadPool pool(6);
    for (const bool rewindable : {false, true}) {
        updated<float> all(random, 101, 1);
        all.in.v(0, 1, 60, 20) = nan;  // in one strip alone
        const tensor4<float> whole = all.whole();
        CHECK(same_bits(whole, all.whole(always_on(pool))));
        heed::linear_state<float> state({.rewindable = rewindable});
        tensor4<float> o(whole.dimensions());
        for (index first = 0; first < 101;) {
            const index count = std::min<index>(101 - first, random.integer(1, 40));
            heed::linear_state<float> alone = state;
            go_on(all, alone, o, first, count);
            const tensor4<float> expected = o;
            go_on(all, state, o, first, count, always_on(pool));
            CHECK(same_bits(o, expected));
            REQUIRE(state.can_rewind() == alone.can_rewind());
            if (state.can_rewind() >= count) {  // again, alone, from what the threads have left
                state.rewind(count);
                go_on(all, state, o, first, count);
                CHECK(same_bits(o, expected));
            }
            first += count;
        }
        CHECK(same_bits(o, whole));
        // Documents, of which the last one is gone on with.
        heed::linear_state<float> alone = state;
        const std::vector<index> offsets{0, 40, 101};
        const auto documents = heed::cumulative_lengths(offsets);
        CHECK(same_bits(all.whole(documents, heed::carry(state), always_on(pool)),
                        all.whole(documents, heed::carry(alone))));
        tensor4<float> next(o.dimensions()), expected(o.dimensions());
        go_on(all, state, next, 0, 101);
        go_on(all, alone, expected, 0, 101);
        CHECK(same_bits(next, expected));
    }
}

TEST_CASE("gradients, batches and documents by the delta rule have the same bits") {
    generator random(992);
    Eigen::ThreadPool pool(3);
    const updated<float> all(random, 101);
    const auto& in = all.in;
    const auto decay = heed::learn(heed::log_decay(all.g));
    const auto delta = heed::learn(heed::delta(all.beta));
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay,
                                                           delta, heed::unit_rows);
    const auto gradients = heed::linear_attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::causal, decay, delta, heed::unit_rows);
    for (int time = 0; time < 3; ++time) {
        const auto threaded =
            heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal, decay,
                                            delta, heed::unit_rows, always_on(pool));
        CHECK(same_bits(gradients.q, threaded.q));
        CHECK(same_bits(gradients.k, threaded.k));
        CHECK(same_bits(gradients.v, threaded.v));
        CHECK(same_bits(gradients.of<0>(), threaded.of<0>()));
        CHECK(same_bits(gradients.of<1>(), threaded.of<1>()));
    }
    // The second sequence of the batch alone.
    const auto second = [](const tensor4<float>& x) {
        return heed::view(x.data() + x.size() / 2,
                          {index(1), x.dimension(1), x.dimension(2), x.dimension(3)});
    };
    const auto numbers = [](const tensor3<float>& x) {
        return heed::view(x.data() + x.size() / 2, {1, 2, 101});
    };
    const auto alone = heed::linear_attention(second(in.q), second(in.k), second(in.v),
                                              heed::causal, heed::log_decay(numbers(all.g)),
                                              heed::delta(numbers(all.beta)), heed::unit_rows);
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

TEST_CASE("what is taken back by the delta rule has never been") {
    generator random(993);
    for (const bool rewindable : {false, true}) {
        const updated<float> all(random, 110);
        const tensor4<float> whole = all.whole();
        heed::linear_state<float> state({.rewindable = rewindable});
        tensor4<float> o(whole.dimensions());
        o.setZero();
        updated<float> wrong = all;  // drafts that are taken back
        wrong.in.k = wrong.in.k + wrong.in.k.constant(2);
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
    }
}

TEST_CASE("a state by the delta rule is the recurrence's, and goes on from matrices") {
    generator random(994);
    const updated<double> all(random, 90);
    const reference::linear_options how = with_deltas(all.from, all.deltas, all.logs, true);
    reference::tensor expected(2, 4, 90, value_dim);
    heed::linear_state<double> state;
    tensor4<double> o(2, 4, 90, value_dim);
    Eigen::Tensor<double, 4, Eigen::RowMajor> matrices(2, 2, value_dim, 5);
    index seen = 0;
    for (const index count : {45, 1, 18}) {
        go_on(all, state, o, seen, count);
        seen += count;
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const auto states = reference::recurrence(all.from.q, all.from.k, all.from.v, how,
                                                          b, 2 * h, expected);
                const Eigen::MatrixXd s = state.matrix(b, h);
                double difference = 0;
                for (index c = 0; c < value_dim; ++c) {
                    for (index f = 0; f < 5; ++f) {
                        matrices(b, h, c, f) = s(c, f);
                        const double x =
                            states[static_cast<std::size_t>(seen) - 1][static_cast<std::size_t>(c)]
                                  [static_cast<std::size_t>(f)];
                        difference = std::max(difference, std::abs(s(c, f) - x));
                    }
                }
                CHECK(difference <= 1e-12);
            }
        }
    }
    auto given = heed::linear_state<double>::from(matrices);
    go_on(all, given, o, seen, 90 - seen);
    const tensor4<double> whole = all.whole();
    double difference = 0;
    for (index e = 0; e < o.size(); ++e)
        difference = std::max(difference, std::abs(o.data()[e] - whole.data()[e]));
    CHECK(difference <= 1e-12);
}

TEST_CASE("beside the delta rule nothing before a token that begins anew is read") {
    generator random(995);
    updated<float> all(random, 75, 1);
    all.g.setConstant(-0.1F);
    for (const index at : {0, 1, 20, 31, 32, 50, 74}) {
        INFO("token " << at);
        updated<float> bad = all;
        bad.g(0, 0, at) = -1e30F;
        const tensor4<float> expected = bad.whole();
        for (index t = 0; t < at; ++t) {
            bad.in.v(0, 0, t, 2) = bad.g(0, 0, t) = bad.beta(0, 0, t) = nan;
            bad.in.k(0, 0, t, 1) = std::numeric_limits<float>::infinity();
        }
        const tensor4<float> dirty = bad.whole();
        for (index h = 0; h < 4; ++h)
            for (index t = h < 2 ? at : 0; t < 75; ++t)
                for (index c = 0; c < value_dim; ++c)
                    REQUIRE(dirty(0, h, t, c) == expected(0, h, t, c));
        // What is not finite reaches later rows alone.
        updated<float> unknown = all;
        unknown.beta(0, 1, at) = nan;
        const tensor4<float> o = unknown.whole(), usual = all.whole();
        for (index t = 0; t < 75; ++t) {
            for (index c = 0; c < value_dim; ++c) {
                REQUIRE(o(0, 0, t, c) == usual(0, 0, t, c));
                REQUIRE((t < at ? o(0, 2, t, c) == usual(0, 2, t, c) : std::isnan(o(0, 2, t, c))));
            }
        }
    }
}

TEST_CASE("padding's beta is not read, and a second call of the delta rule allocates nothing") {
    generator random(996);
    const updated<float> all(random, 300);
    tensor3<float> beta = all.beta;
    const std::vector<index> lengths{33, 0};
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h)
            for (index t = lengths[static_cast<std::size_t>(b)]; t < 300; ++t) beta(b, h, t) = nan;
    heed::workspace memory;
    heed::linear_state<float> state({.rewindable = true});
    heed::linear_stats<float> stats;
    const auto& in = all.in;
    tensor4<float> o(in.d_o.dimensions());
    tensor4<float> dq(in.q.dimensions()), dk(in.k.dimensions()), dv(in.v.dimensions());
    tensor3<float> d_beta(beta.dimensions());
    const auto run = [&] {
        const auto delta = heed::learn(heed::delta(beta));
        heed::linear_attention_forward_into(o, stats, in.q, in.k, in.v, heed::causal, delta,
                                            heed::unit_rows, heed::key_lengths(lengths),
                                            heed::in(memory));
        heed::linear_attention_backward_into(heed::into(dq, dk, dv, d_beta), in.d_o, o, stats, in.q,
                                             in.k, in.v, heed::causal, delta, heed::unit_rows,
                                             heed::key_lengths(lengths), heed::in(memory));
        go_on(all, state, o, 0, 300, heed::in(memory));
    };
    for (int time = 0; time < 2; ++time) run();
    const std::size_t before = allocations();
    for (int time = 0; time < 3; ++time) run();
    CHECK(allocations() == before);
    for (const tensor4<float>* x : {&dq, &dk, &dv})
        for (index e = 0; e < x->size(); ++e) REQUIRE(std::isfinite(x->data()[e]));
    for (index t = 0; t < 300; ++t) {
        REQUIRE(std::isfinite(d_beta(0, 1, t)));
        if (t >= 33) REQUIRE(d_beta(0, 1, t) == 0);
        REQUIRE(d_beta(1, 0, t) == 0);
    }
}

}  // namespace test_delta_state
