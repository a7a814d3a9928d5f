#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/observers/observer.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/xpos.hpp>
#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

// Rows that nobody sees and rows that see nothing may hold anything, and stand anywhere: no output,
// no gradient of a tensor or of what is learned, no observer tells what they held.

namespace test_attention_unseen_rows {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr index batch = 2, heads = 2, queries = 21, dim = 6, value_dim = 5;

/// Inputs of a call of which some rows are of no consequence, and the masks that say so.
struct call {
    index keys;
    bool by_lengths;
    std::vector<index> lengths;
    tensor4<float> q, k, v, d_o, bias;
    Eigen::Tensor<float, 3, Eigen::RowMajor> d_lse;
    Eigen::Tensor<bool, 2, Eigen::RowMajor> seen;
    std::vector<double> query_positions, key_positions;

    /// Keys that nobody sees, and queries that see nothing: scattered, or behind lengths.
    bool is_unseen(index b, index j) const {
        if (by_lengths) return j >= lengths[static_cast<std::size_t>(b)];
        return j % 3 == 1 || j + 4 > keys;
    }
    bool is_blind(index b, index i) const {
        return by_lengths ? lengths[static_cast<std::size_t>(b)] == 0 : i % 5 == 2;
    }

    call(generator& random, index number_of_keys, bool goes_by_lengths)
        : keys(number_of_keys),
          by_lengths(goes_by_lengths),
          lengths{number_of_keys - 5, 0},
          q(to_tensor<float>(random_numbers(random, batch, heads, queries, dim))),
          k(to_tensor<float>(random_numbers(random, batch, 1, keys, dim))),
          v(to_tensor<float>(random_numbers(random, batch, 1, keys, value_dim))),
          d_o(to_tensor<float>(random_numbers(random, batch, heads, queries, value_dim))),
          bias(to_tensor<float>(random_numbers(random, 1, heads, queries, keys))),
          d_lse(batch, heads, queries),
          seen(queries, keys) {
        d_lse.setConstant(0.25F);
        for (index i = 0; i < queries; ++i) {
            query_positions.push_back(static_cast<double>(keys - queries + i));
            for (index j = 0; j < keys; ++j) seen(i, j) = !is_blind(0, i) && !is_unseen(0, j);
        }
        for (index j = 0; j < keys; ++j) key_positions.push_back(static_cast<double>(j));
    }

    /// Everything that is of no consequence becomes `value`, and stands at `position`.
    void fill(float value, double position) {
        const auto each_row = [&](tensor4<float>& x, const auto& is, float to) {
            for (index b = 0; b < x.dimension(0); ++b)
                for (index h = 0; h < x.dimension(1); ++h)
                    for (index i = 0; i < x.dimension(2); ++i)
                        for (index c = 0; c < x.dimension(3); ++c)
                            if (is(b, i, c)) x(b, h, i, c) = to;
        };
        const auto key = [&](index b, index j, index) { return is_unseen(b, j); };
        const auto query = [&](index b, index i, index) { return is_blind(b, i); };
        each_row(k, key, value);
        each_row(v, key, -value);
        each_row(q, query, value);
        each_row(d_o, query, value);
        if (by_lengths) return;
        const auto entry = [&](index, index i, index j) { return !seen(i, j); };
        each_row(bias, entry, value);
        for (index j = 0; j < keys; ++j)
            if (is_unseen(0, j)) key_positions[static_cast<std::size_t>(j)] = position;
        for (index i = 0; i < queries; ++i)
            if (is_blind(0, i)) query_positions[static_cast<std::size_t>(i)] = -position;
    }
};

/// What two runs say, number by number; `unseen` counts those of rows of no consequence that are
/// not 0.
struct comparison {
    index different = 0, unseen = 0;

    template <class A>
    void add(const A& a, const A& b, double tolerance = 1e-4) {
        for (index e = 0; e < a.size(); ++e) {
            const auto x = static_cast<double>(a.data()[e]), y = static_cast<double>(b.data()[e]);
            const bool same = x == y || std::abs(x - y) <= tolerance * (1 + std::abs(y));
            if (!same) ++different;  // NaN too
        }
    }
    template <class Is>
    void add_zeros(const tensor4<float>& x, const Is& is) {
        for (index b = 0; b < x.dimension(0); ++b)
            for (index h = 0; h < x.dimension(1); ++h)
                for (index i = 0; i < x.dimension(2); ++i)
                    for (index c = 0; c < x.dimension(3); ++c)
                        if (is(b, i) && x(b, h, i, c) != 0) ++unseen;
    }
};

template <class Stats>
constexpr bool has_log_sum_exp = requires(const typename Stats::stream_type& of) {
    of.with_log_sum_exp_gradient(0.F, 0.F);
};

/// The call with 0 where it is of no consequence, against the same with anything else; parts_of
/// gives the call's parts, of which the observers see forward alone.
template <class PartsOf, class ObserversOf>
void check(int stream, const PartsOf& parts_of, const ObserversOf& observers,
           bool by_lengths = false) {
    generator random(static_cast<std::uint64_t>(stream));
    constexpr float nan = std::numeric_limits<float>::quiet_NaN(),
                    infinity = std::numeric_limits<float>::infinity(),
                    most = std::numeric_limits<float>::max();
    for (const index keys : {37, 301}) {
        call clean(random, keys, by_lengths);
        clean.fill(0, 3);
        const auto run = [&](const call& of) {
            return std::apply(
                [&](const auto&... parts) {
                    auto forward = std::apply(
                        [&](const auto&... observer) {
                            return heed::attention_forward(of.q, of.k, of.v, parts..., observer...);
                        },
                        observers);
                    auto gradient = [&] {
                        if constexpr (has_log_sum_exp<decltype(forward.stats)>)
                            return heed::attention_backward(of.d_o, forward.output, forward.stats,
                                                            of.q, of.k, of.v, parts...,
                                                            heed::log_sum_exp_gradient(of.d_lse));
                        else
                            return heed::attention_backward(of.d_o, forward.output, forward.stats,
                                                            of.q, of.k, of.v, parts...);
                    }();
                    return std::tuple(std::move(forward), std::move(gradient));
                },
                parts_of(of));
        };
        const auto expected = run(clean);
        for (const float value : {nan, infinity, -infinity, most}) {
            for (const double position : {3.0, 0x1p52}) {
                call dirty = clean;
                dirty.fill(value, position);
                const auto result = run(dirty);
                // No structured bindings: clang 14 captures none.
                const auto& forward = std::get<0>(result);
                const auto& gradient = std::get<1>(result);
                const auto& clean_forward = std::get<0>(expected);
                const auto& clean_gradient = std::get<1>(expected);
                INFO(keys << " keys, " << value << " at " << position);
                CHECK(same_bits(forward.output, clean_forward.output));
                comparison of;
                std::apply(
                    [&](const auto&... observed) {
                        std::apply([&](const auto&... right) { (of.add(observed, right), ...); },
                                   clean_forward.observed);
                    },
                    forward.observed);
                of.add(gradient.q, clean_gradient.q);
                of.add(gradient.k, clean_gradient.k);
                of.add(gradient.v, clean_gradient.v);
                std::apply(
                    [&](const auto&... learned) {
                        std::apply([&](const auto&... right) { (of.add(learned, right), ...); },
                                   clean_gradient.learned);
                    },
                    gradient.learned);
                of.add_zeros(gradient.q, [&](index b, index i) { return clean.is_blind(b, i); });
                of.add_zeros(gradient.k, [&](index b, index j) { return clean.is_unseen(b, j); });
                of.add_zeros(gradient.v, [&](index b, index j) { return clean.is_unseen(b, j); });
                CHECK(of.different == 0);
                CHECK(of.unseen == 0);
            }
        }
    }
}

template <class PartsOf>
void check(int stream, const PartsOf& parts_of) {
    check(stream, parts_of, std::tuple<>());
}

const Eigen::MatrixXf query_bias = Eigen::MatrixXf::Constant(heads, dim, 0.125F);
const Eigen::MatrixXf key_bias = Eigen::MatrixXf::Constant(1, dim, -0.25F);
const std::vector<float> numbers{0.5F, 0.75F};  // one a head

TEST_CASE("rows of no consequence: norms, learned biases and scale, observers") {
    check(
        141,
        [](const call& of) {
            return std::tuple(heed::boolean_mask(of.seen), heed::learn(heed::cosine.scale(numbers)),
                              heed::learn(heed::query_bias(query_bias)),
                              heed::learn(heed::key_bias(key_bias)),
                              heed::learn(heed::bias(of.bias)));
        },
        std::tuple(heed::row_entropy, heed::row_sparsity));
}

TEST_CASE("rows of no consequence: powers of far positions, learned sink and slopes") {
    const auto rope = heed::rope::plain({.dim = 4});
    check(142, [&](const call& of) {
        return std::tuple(heed::boolean_mask(of.seen), heed::learn(heed::sink(numbers)),
                          heed::xpos(rope, 0.97), heed::learn(heed::alibi(numbers)),
                          heed::positions(of.query_positions, of.key_positions));
    });
}

TEST_CASE("rows of no consequence: rectified rotation, norm of queries, learned kappa") {
    const auto rope = heed::rope::plain({.dim = 6});
    check(143, [&](const call& of) {
        return std::tuple(heed::boolean_mask(of.seen), heed::rectified_rotary(rope, 9),
                          heed::learn(heed::query_norm.log_n_kappa(1.5)), heed::l2_softmax,
                          heed::positions(of.query_positions, of.key_positions));
    });
}

TEST_CASE("rows of no consequence: sequences with padding, and without a key") {
    check(
        147,
        [](const call& of) {
            return std::tuple(heed::key_lengths(of.lengths), heed::learn(heed::sink(numbers)),
                              heed::learn(heed::cosine.scale(2)),
                              heed::learn(heed::key_bias(key_bias)));
        },
        std::tuple(heed::row_entropy), true);
}

TEST_CASE("rows of no consequence: supports, norm and learned bias of keys") {
    check(144, [](const call& of) {
        return std::tuple(heed::boolean_mask(of.seen), heed::key_norm.scale(3), heed::entmax15,
                          heed::learn(heed::key_bias(key_bias)),
                          heed::learn(heed::query_bias(query_bias)));
    });
}

TEST_CASE("rows of no consequence: whole rows, learned alpha, entropy and scale") {
    check(145, [](const call& of) {
        return std::tuple(heed::boolean_mask(of.seen), heed::learn(heed::entmax(1.3)),
                          heed::learn(heed::cosine.scale(2)), heed::learn(heed::bias(of.bias)));
    });
    check(146, [](const call& of) {
        return std::tuple(heed::boolean_mask(of.seen), heed::learn(heed::entropy_normalised(1.5)),
                          heed::learn(heed::key_bias(key_bias)),
                          heed::learn(heed::query_norm.scale(2)));
    });
}

}  // namespace test_attention_unseen_rows
