#include <algorithm>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

namespace test_delta_state {

using namespace heed_test;
using heed::index;

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
        all.in.v(0, 1, 60, 20) = not_a_number;  // in one strip alone
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
    const updated<float> all(random, 101);
    check_threads(all, 3, 3);
    check_company(all);
}

TEST_CASE("what is taken back by the delta rule has never been") {
    generator random(993);
    check_rewinding(random, updated<float>(random, 110));
}

TEST_CASE("a state by the delta rule is the recurrence's, and goes on from matrices") {
    generator random(994);
    check_states(updated<double>(random, 90));
}

TEST_CASE("beside the delta rule nothing before a token that begins anew is read") {
    generator random(995);
    check_special_values(updated<float>(random, 75), [](auto& all, index head, index t) -> float& {
        return all.beta(0, head, t);
    });
}

TEST_CASE("padding's beta is not read, and a second call of the delta rule allocates nothing") {
    generator random(996);
    check_padding(updated<float>(random, 300));
}

}  // namespace test_delta_state
