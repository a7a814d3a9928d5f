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

#include "linear/channel_problem.hpp"
#include "linear/delta_problem.hpp"
#include "linear/problem.hpp"
#include "linear/sequence_checks.hpp"
#include "linear/sequences.hpp"

namespace test_channel_delta {

using namespace heed_test;
using heed::index;

/// o in double and in float, and all gradients in double, rows being of length 1.
template <class... Parts>
void check_all(generator& random, const linear_problem& from, const reference::linear_options& how,
               const Parts&... parts) {
    check_forward<float>(from, how, 2e-5, heed::causal,
                         heed::log_decay(to_tensor<float>(*how.log_decays)),
                         heed::delta(to_decays<float>(*how.deltas)), heed::unit_rows, parts...);
    const linear_inputs<double> in(from);
    const auto decay = heed::learn(heed::log_decay(to_tensor<double>(*how.log_decays)));
    const auto delta = heed::learn(heed::delta(to_decays<double>(*how.deltas)));
    const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay,
                                                           delta, heed::unit_rows, parts...);
    compare_outputs(from, how, 1e-11, o);
    const auto gradients = heed::linear_attention_backward(
        in.d_o, o, stats, in.q, in.k, in.v, heed::causal, decay, delta, heed::unit_rows, parts...);
    const tensor4<double> d_deltas = as_four(gradients.template of<1>());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v,
                      &gradients.template of<0>(), &d_deltas);
}

TEST_CASE("the delta rule beside decays a channel is the recurrence, in any extents") {
    generator random(1980);
    for (int round = 0; round < 12; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e) << ", heads of beta "
                     << heads);
        const linear_problem from = decay_problem(random, e, heads);
        check_all(
            random, from,
            with_deltas(from, random_deltas(random, e, heads),
                        random_channel_decays(random, e, random.chance(0.5) ? heads : 1), true));
    }
}

TEST_CASE("gradients of both over the states that backward keeps") {
    generator random(1981);
    for (const index keys : {256, 257, 550}) {
        const linear_extents e{1, 1, 1, 2, keys == 257 ? 150 : keys, keys, 3, 2};
        INFO("seed " << seed() << ", " << to_string(e));
        const linear_problem from(random, e);
        check_all(random, from,
                  with_deltas(from, random_deltas(random, e, 1),
                              random_channel_decays(random, e, 2, keys == 550), true));
    }
}

TEST_CASE("both beside documents and padding, and decays of any strength") {
    generator random(1982);
    const linear_extents e{2, 2, 1, 2, 75, 75, 4, 3};
    INFO("seed " << seed());
    const linear_problem from(random, e);
    reference::linear_options how =
        with_deltas(from, random_deltas(random, e, 2), random_channel_decays(random, e, 2), true);
    const auto causal = how.visible;
    const std::vector<index> offsets{0, random.integer(1, 40), 75};
    how.visible = reference::both(causal, reference::documents(offsets));
    check_all(random, from, how, heed::cumulative_lengths(offsets));
    const std::vector<index> lengths{random.integer(0, 75), random.integer(0, 75)};
    how.visible = reference::both(causal, reference::key_lengths(lengths));
    check_all(random, from, how, heed::key_lengths(lengths));
    how.visible = causal;
    for (const double strength : {-5.0, -79.0, -104.0, -HUGE_VAL}) {
        INFO("log decay " << strength);
        for (index b = 0; b < 2; ++b)
            for (index t = 0; t < 75; ++t) (*how.log_decays)(b, 1, t, t % 4) = strength;
        check_all(random, from, how);
    }
}

TEST_CASE("with both too a sequence in pieces has the bits of one call") {
    generator random(1983);
    check_pieces<faded_and_updated<float>, float>(random);
}

TEST_CASE("threads share the columns of few heads beside decays a channel, and change no bit") {
    generator random(1984);
    const faded_and_updated<float> all(random, 101, 1);
    check_threads(all, 6);
    Eigen::ThreadPool pool(6);
    heed::linear_state<float> state({.rewindable = true});
    tensor4<float> o = all.output();
    for (index first = 0; first < 101;) {
        const index count = std::min<index>(101 - first, random.integer(1, 40));
        go_on(all, state, o, first, count, always_on(pool));
        if (state.can_rewind() >= count) {  // again, alone, from what the threads have left
            state.rewind(count);
            go_on(all, state, o, first, count);
        }
        first += count;
    }
    CHECK(same_bits(o, all.whole()));
}

}  // namespace test_channel_delta
