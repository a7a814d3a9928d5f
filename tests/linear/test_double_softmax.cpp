#include <algorithm>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/double_softmax.hpp>

#include "linear/problem.hpp"

namespace test_double_softmax {

using namespace heed_test;
using heed::index;

TEST_CASE("double softmax is its definition") {
    check_map(970, reference::linear_options(), heed::double_softmax);
}

TEST_CASE("double softmax divided by rows is e^x") {
    check_map(971, reference::with_map(reference::each_number(reference::exponential)),
              heed::double_softmax.by_row());
}

TEST_CASE("double softmax of keys that rise, of padding, and in pieces") {
    generator random(972);
    linear_problem from(random, {1, 2, 1, 2, 70, 70, 5, 4});
    for (index j = 0; j < 70; ++j)
        for (index c = 0; c < 5; ++c)
            if (random.chance(0.03)) from.k(0, 0, j, c) += 33.0 * static_cast<double>(1 + j / 20);
    reference::linear_options how;
    how.visible = reference::causal(70, 70);
    check_forward<double>(from, how, 1e-11, heed::causal, heed::double_softmax);
    check_gradients(random, from, how, heed::causal, heed::double_softmax);
    how.visible = reference::key_lengths({41});
    check_gradients(random, from, how, heed::key_lengths({41}), heed::double_softmax);

    const linear_inputs<float> in(from);
    const auto whole = heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::double_softmax);
    heed::linear_state<float> state;
    tensor4<float> o(whole.dimensions());
    for (index first = 0; first < 70;) {
        const index count = std::min<index>(70 - first, random.integer(1, 9));
        const auto part = [&](const tensor4<float>& x) {
            const index d = x.dimension(3);
            return heed::view(const_cast<float*>(x.data()) + first * d,
                              {index(1), x.dimension(1), count, d}, {0, 70 * d, d, 1});
        };
        heed::linear_attention_into(part(o), part(in.q), part(in.k), part(in.v), heed::causal,
                                    heed::double_softmax, heed::carry(state));
        first += count;
    }
    for (index e = 0; e < o.size(); ++e) CHECK(o.data()[e] == whole.data()[e]);
}

}  // namespace test_double_softmax
