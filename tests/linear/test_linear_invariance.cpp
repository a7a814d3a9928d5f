#include <algorithm>
#include <cstddef>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/rope/rotary.hpp>

#include "linear/pieces.hpp"
#include "linear/problem.hpp"
#include "linear/sequences.hpp"
#include "support/same_bits.hpp"

namespace test_linear_invariance {

using namespace heed_test;
using heed::index;

/// Keys of which some rise far above those before.
template <class T>
void raise(generator& random, tensor4<T>& k) {
    for (index i = 0; i < k.size(); ++i)
        if (random.chance(0.01)) k.data()[i] += T(60);
}
template <class T>
linear_inputs<T> rising_inputs(generator& random, const linear_extents& e) {
    linear_inputs<T> in(linear_problem(random, e));
    raise(random, in.k);
    return in;
}

linear_extents sizes(index tokens, index dim) { return sequence_extents(tokens, dim, 7); }

template <class T, class... Parts>
void check_pieces_by(generator& random, index dim, const Parts&... parts) {
    check_pieces_of<T>(random, [&](generator& numbers, index n) {
        sequence<T, fixed_parts<Parts...>> all(numbers, sizes(n, dim), {{parts...}});
        raise(numbers, all.in.k);
        return all;
    });
}

TEST_CASE("a sequence in pieces, down to one token at a time, has the bits of one call") {
    generator random(930);
    const heed::random_features f({.dim = 6, .count = 14, .seed = 5});
    const auto rotary = heed::rotary(heed::rope::plain({.dim = 6}));
    check_pieces_by<float>(random, 6, heed::elu_plus_one);
    check_pieces_by<double>(random, 5, heed::elu_plus_one);
    check_pieces_by<float>(random, 6, heed::exp_features);
    check_pieces_by<float>(random, 6, heed::favor(f));
    check_pieces_by<float>(random, 6, heed::elu_plus_one, rotary);
    check_pieces_by<float>(random, 6, heed::exp_features, rotary);
    check_pieces_by<float>(random, 5);
}

TEST_CASE("threads and batches change no bit, forward or backward") {
    generator random(931);
    Eigen::ThreadPool pool(6);  // more threads than heads, of which each has several vectors
    const linear_inputs<float> in = rising_inputs<float>(random, sequence_extents(101, 6, 37));
    const auto check = [&](const auto&... parts) {
        const auto [o, stats] = heed::linear_attention_forward(in.q, in.k, in.v, parts...);
        const auto gradients =
            heed::linear_attention_backward(in.d_o, o, stats, in.q, in.k, in.v, parts...);
        for (int time = 0; time < 3; ++time) {
            const auto [o2, stats2] =
                heed::linear_attention_forward(in.q, in.k, in.v, parts..., always_on(pool));
            const auto threaded = heed::linear_attention_backward(in.d_o, o2, stats2, in.q, in.k,
                                                                  in.v, parts..., always_on(pool));
            CHECK(same_bits(o, o2));
            CHECK(same_bits(gradients.q, threaded.q));
            CHECK(same_bits(gradients.k, threaded.k));
            CHECK(same_bits(gradients.v, threaded.v));
        }
        // The second sequence of the batch alone.
        const auto second = [](const tensor4<float>& x) {
            const index size = x.size() / 2;
            return heed::view(x.data() + size,
                              {index(1), x.dimension(1), x.dimension(2), x.dimension(3)});
        };
        const auto alone =
            heed::linear_attention(second(in.q), second(in.k), second(in.v), parts...);
        CHECK(std::equal(alone.data(), alone.data() + alone.size(), o.data() + alone.size()));
    };
    check(heed::causal, heed::elu_plus_one);
    check(heed::elu_plus_one);
    check(heed::causal, heed::exp_features);
    check(heed::exp_features);
}

TEST_CASE("a document, and a sequence with padding, have the bits that they have alone") {
    generator random(932);
    const linear_inputs<float> in = rising_inputs<float>(random, sizes(120, 6));
    const auto rotary = heed::rotary(heed::rope::plain({.dim = 6}));
    const std::vector<index> offsets{0, 3, 50, 50, 87, 120};
    const auto check = [&](const auto&... parts) {
        const tensor4<float> packed = heed::linear_attention(
            in.q, in.k, in.v, heed::causal, heed::cumulative_lengths(offsets), parts...);
        tensor4<float> alone(packed.dimensions());
        for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
            const index first = offsets[d], count = offsets[d + 1] - first;
            if (count == 0) continue;
            heed::linear_attention_into(tokens(alone, first, count), tokens(in.q, first, count),
                                        tokens(in.k, first, count), tokens(in.v, first, count),
                                        heed::causal, parts...);
        }
        CHECK(same_bits(packed, alone));

        const tensor4<float> padded = heed::linear_attention(in.q, in.k, in.v, heed::causal,
                                                             heed::key_lengths({70, 70}), parts...);
        tensor4<float> short_o(2, 4, 70, 7);
        heed::linear_attention_into(short_o, tokens(in.q, 0, 70), tokens(in.k, 0, 70),
                                    tokens(in.v, 0, 70), heed::causal, parts...);
        for (index b = 0; b < 2; ++b)
            for (index h = 0; h < 4; ++h)
                for (index i = 0; i < 70; ++i)
                    for (index c = 0; c < 7; ++c)
                        REQUIRE(padded(b, h, i, c) == short_o(b, h, i, c));
    };
    check(heed::elu_plus_one);
    check(heed::exp_features);
    check(heed::elu_plus_one, rotary);
}

TEST_CASE("what is taken back has never been") {
    generator random(933);
    for (const bool rewindable : {false, true}) {
        const linear_inputs<float> in = rising_inputs<float>(random, sizes(110, 6));
        const tensor4<float> whole =
            heed::linear_attention(in.q, in.k, in.v, heed::causal, heed::exp_features);
        heed::linear_state<float> state({.rewindable = rewindable});
        tensor4<float> o(whole.dimensions());
        o.setZero();
        const auto go = [&](index first, index count) {
            heed::linear_attention_into(tokens(o, first, count), tokens(in.q, first, count),
                                        tokens(in.k, first, count), tokens(in.v, first, count),
                                        heed::causal, heed::exp_features, heed::carry(state));
        };
        index taken_back = 0;
        for (index first = 0; first < 110;) {
            const index count = std::min<index>(110 - first, random.integer(1, 12));
            go(first, count);
            first += count;
            const index back = std::min(state.can_rewind(), random.integer(0, 9));
            if (first < 105) {
                state.rewind(back);
                first -= back;
                taken_back += back;
            }
            REQUIRE(state.length() == first);
        }
        CHECK(taken_back > 0);
        CHECK(same_bits(o, whole));
        CHECK_THROWS_AS(state.rewind(state.can_rewind() + 1), heed::argument_error);
    }
}

}  // namespace test_linear_invariance
