#include <algorithm>
#include <cmath>
#include <limits>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

namespace test_channel_state {

using namespace heed_test;
using heed::index;

TEST_CASE("with decays a channel too a sequence in pieces has the bits of one call") {
    generator random(1970);
    check_pieces<faded<float>, float>(random);
    check_pieces<faded<double>, double>(random);
}

TEST_CASE("threads, batches and documents change no bit beside decays a channel") {
    generator random(1971);
    const faded<float> all(random, 101);
    check_threads(all, 3, 3);
    check_company(all);
}

TEST_CASE("what is taken back has never been, be it the token that cleared a channel") {
    generator random(1972);
    faded<float> all(random, 110);
    for (index t = 4; t < 110; t += 7) all.g(0, t % 2, t, t % 5) = static_cast<float>(-HUGE_VAL);
    check_rewinding(random, all);
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
    check_states(faded<double>(random, 90));
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
        for (index t = 0; t < at; ++t) bad.g(0, 0, t, 2) = not_a_number;
        for (index t = 0; t < at; ++t)
            bad.in.k(0, 0, t, 2) = std::numeric_limits<float>::infinity();
        const tensor4<float> dirty = bad.whole();
        faded<float> unknown = all;
        unknown.g(0, 1, at, 3) = not_a_number;
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
    check_padding(faded<float>(random, 300));
}

TEST_CASE("a padded piece goes on with nothing: its rows see what was before") {
    generator random(1977);
    faded<float> all(random, 41);
    heed::linear_state<float> padded;
    tensor4<float> o = all.output();
    go_on(all, padded, o, 0, 40);
    const tensor4<float> first = o;
    all.g.setConstant(not_a_number);
    go_on(all, padded, o, 39, 1, heed::key_lengths({0, 0}));
    CHECK(same_bits(o, first));
    CHECK(padded.length() == 40);
}

}  // namespace test_channel_state
