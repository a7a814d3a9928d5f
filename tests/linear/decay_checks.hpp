#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/channel_problem.hpp"
#include "linear/decay_problem.hpp"
#include "linear/problem.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

/// \file
/// What holds of decays a token and a channel alike.

namespace heed_test {

/// o and the gradients in double, that of the log decays too.
template <class Decays, class... Parts>
void check_learned_decays(generator& random, const linear_problem& from,
                          const reference::linear_options& how, const Parts&... parts) {
    const linear_inputs<double> in(from);
    const auto logs = Decays::template numbers<double>(*how.log_decays);
    const auto decay = heed::learn(heed::log_decay(logs));
    const auto [o, stats] =
        heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay, parts...);
    compare_outputs(from, how, 1e-12, o);
    const auto gradients = heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           heed::causal, decay, parts...);
    const tensor4<double> d_logs = as_four(gradients.template of<0>());
    compare_gradients(random, from, how, gradients.q, gradients.k, gradients.v, &d_logs);
}

/// In any extents the recurrence, in float and in double; forward with stats has the bits of
/// forward alone.
template <class Decays>
void check_decays_in_any_extents(generator& random) {
    for (int round = 0; round < 16; ++round) {
        const auto [e, heads] = random_decay_extents(random);
        INFO("seed " << seed() << ", round " << round << ": " << to_string(e)
                     << ", heads of the decay " << heads);
        const linear_problem from = decay_problem(random, e, heads);
        const reference::linear_options how = with_decays(from, Decays::draw(random, e, heads));
        const auto floats = Decays::template numbers<float>(*how.log_decays);
        check_forward<float>(from, how, 1e-6, heed::causal, heed::log_decay(floats));
        const linear_inputs<float> in(from);
        const auto forward =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, heed::log_decay(floats));
        CHECK(same_bits(forward.output, heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                               heed::log_decay(floats))));
        check_learned_decays<Decays>(random, from, how);
    }
}

/// Float gradients are double's, up to rounding.
template <class Decays>
void check_float_gradients_of_decays(generator& random, double tolerance) {
    const linear_extents e{1, 2, 1, 2, 600, 600, 5, 3};
    const linear_problem from(random, e);
    const reference::tensor logs = Decays::draw(random, e, 2);
    const auto gradients_of = [&]<class T>(T) {
        const linear_inputs<T> in(from);
        const auto decay = heed::learn(heed::log_decay(Decays::template numbers<T>(logs)));
        const auto [o, stats] =
            heed::linear_attention_forward(in.q, in.k, in.v, heed::causal, decay);
        return heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal,
                                               decay);
    };
    const auto exact = gradients_of(double());
    const auto rounded = gradients_of(float());
    compare_rounded(rounded.q, exact.q, tolerance);
    compare_rounded(rounded.k, exact.k, tolerance);
    compare_rounded(rounded.v, exact.v, tolerance);
    const auto& d_logs = exact.template of<0>();
    double most = 0, difference = 0;
    for (index t = 0; t < d_logs.size(); ++t) {
        const double x = d_logs.data()[t];
        most = std::max(most, std::abs(x));
        difference = std::max(
            difference, std::abs(static_cast<double>(rounded.template of<0>().data()[t]) - x));
    }
    CHECK(difference <= 4e-6 * most);  // differences of up to 256 tokens
}

/// Beside documents, padding, a rotary encoding and a scale.
template <class Decays>
void check_decays_beside_parts(generator& random) {
    const linear_extents e{2, 2, 1, 2, 75, 75, 4, 3};
    INFO("seed " << seed());
    const linear_problem from(random, e);
    reference::linear_options how =
        with_decays(from, Decays::draw(random, e, random.one_of<index>({1, 2})));
    const auto causal = how.visible;
    how.scale = {2, 2};
    std::vector<index> offsets{0, 75};
    for (int d = 0; d < 3; ++d) offsets.push_back(random.integer(0, 75));
    std::sort(offsets.begin(), offsets.end());
    how.visible = reference::both(causal, reference::documents(offsets));
    check_learned_decays<Decays>(random, from, how, heed::cumulative_lengths(offsets),
                                 heed::scale(2));
    const std::vector<index> lengths{random.integer(0, 75), random.integer(0, 75)};
    how.visible = reference::both(causal, reference::key_lengths(lengths));
    check_learned_decays<Decays>(random, from, how, heed::key_lengths(lengths), heed::scale(2));
    how.visible = causal;
    const auto frequencies = reference::plain_frequencies(4);
    how.turns = reference::rotation{frequencies, false, 1};
    check_learned_decays<Decays>(random, from, how, heed::scale(2),
                                 heed::rotary(heed::rope::frequencies(frequencies)));
}

}  // namespace heed_test
