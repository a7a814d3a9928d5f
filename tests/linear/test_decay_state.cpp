#include <cmath>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/linear/linear_state.hpp>

#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

namespace test_decay_state {

using namespace heed_test;
using heed::index;

TEST_CASE("with decays too a sequence in pieces has the bits of one call") {
    generator random(970);
    check_pieces<decayed<float>, float>(random);
    check_pieces<decayed<double>, double>(random);
}

TEST_CASE("threads, batches and documents change no bit beside decays") {
    generator random(971);
    const decayed<float> all(random, 101);
    check_threads(all, 3, 3);
    check_company(all);
}

TEST_CASE("what is taken back has never been, be it the token that began anew") {
    generator random(972);
    decayed<float> all(random, 110);
    for (index t = 5; t < 110; t += 7) all.g(0, t % 2, t) = static_cast<float>(-HUGE_VAL);
    check_rewinding(random, all);
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
    check_states(decayed<double>(random, 90));
}

TEST_CASE("nothing before a token that begins anew is read, and NaN stays behind its own") {
    generator random(974);
    check_special_values(decayed<float>(random, 75), [](auto& all, index head, index t) -> float& {
        return all.g(0, head, t);
    });
}

TEST_CASE("gradients before a token that begins anew do not see what is behind it") {
    generator random(975);
    decayed<double> all(random, 75);
    all.g.setConstant(-0.1);
    all.g(0, 0, 40) = -HUGE_VAL;
    const auto clean = all.gradients();
    CHECK(clean.of<0>()(0, 0, 40) == 0);
    CHECK(clean.of<0>()(0, 0, 0) == 0);
    decayed<double> bad = all;
    for (index t = 40; t < 75; ++t)
        bad.in.d_o(0, 0, t, 1) = bad.in.q(0, 1, t, 2) = bad.in.v(0, 0, t, 3) = not_a_number;
    const auto dirty = bad.gradients();
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
    check_padding(decayed<float>(random, 300));
}

}  // namespace test_decay_state
