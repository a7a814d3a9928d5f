#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/core/error.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>

#include "linear/problem.hpp"
#include "linear/sequences.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/same_bits.hpp"

/// \file
/// What holds of every sequence, whatever numbers its tokens have.

namespace heed_test {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Any number of threads, `times` times, has the same bits, forward and backward.
template <class Sequence>
void check_threads(const Sequence& all, int threads, int times = 1) {
    Eigen::ThreadPool pool(threads);
    const auto on = always_on(pool);
    CHECK(same_bits(all.whole(), all.whole(on)));
    const auto same = [](const auto& a, const auto& b) { CHECK(same_bits(a, b)); };
    const auto alone = all.gradients();
    for (int time = 0; time < times; ++time) {
        const auto threaded = all.gradients(on);
        same(alone.q, threaded.q);
        same(alone.k, threaded.k);
        same(alone.v, threaded.v);
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (same(std::get<I>(alone.learned), std::get<I>(threaded.learned)), ...);
        }
        (std::make_index_sequence<std::tuple_size_v<decltype(alone.learned)>>());
    }
}

/// The last sequence of a batch, and documents beside others, have the bits that they have alone.
template <class Sequence>
void check_company(const Sequence& all) {
    using T = typename Sequence::scalar;
    const tensor4<T> o = all.whole();
    Sequence last = all;
    const auto keep_last = [](auto& x) {
        auto extents = x.dimensions();
        extents[0] = 1;
        auto kept = x;
        kept.resize(extents);
        std::copy_n(x.data() + x.size() - kept.size(), kept.size(), kept.data());
        x = kept;
    };
    last.each(keep_last);
    for (tensor4<T>* x : {&last.in.q, &last.in.k, &last.in.v, &last.in.d_o}) keep_last(*x);
    const tensor4<T> alone = last.whole();
    CHECK(
        std::equal(alone.data(), alone.data() + alone.size(), o.data() + o.size() - alone.size()));

    const index n = all.length();
    const std::vector<index> offsets{0, 3, n / 2, n / 2, n - 14, n};
    tensor4<T> one_by_one = all.output();
    for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
        const index first = offsets[d], count = offsets[d + 1] - first;
        heed::linear_state<T> state;
        if (count > 0) go_on(all, state, one_by_one, first, count);
    }
    CHECK(same_bits(all.whole(heed::cumulative_lengths(offsets)), one_by_one));
}

/// Drafts that are taken back have never been.
template <class Sequence>
void check_rewinding(generator& random, const Sequence& all) {
    using T = typename Sequence::scalar;
    const tensor4<T> whole = all.whole();
    const index n = all.length();
    Sequence draft = all;
    draft.in.k = draft.in.k + draft.in.k.constant(2);
    draft.each([](auto& x) { x = x * x.constant(3); });
    for (const bool rewindable : {false, true}) {
        INFO("seed " << seed() << ", rewindable " << rewindable);
        heed::linear_state<T> state({.rewindable = rewindable});
        tensor4<T> o = all.output();
        index taken_back = 0;
        for (index first = 0; first < n;) {
            const index count = std::min(n - first, random.integer(1, 12));
            go_on(all, state, o, first, count);
            first += count;
            const index drafted = std::min(n - first, random.integer(0, 4));
            if (drafted > 0) {
                heed::linear_state<T> fork = state;
                go_on(draft, fork, o, first, drafted);
                if (fork.can_rewind() >= drafted) {
                    fork.rewind(drafted);
                    state = fork;
                    taken_back += drafted;
                }
            }
            REQUIRE(state.length() == first);
        }
        CHECK(taken_back > 0);
        CHECK(same_bits(o, whole));
        CHECK_THROWS_AS(state.rewind(state.can_rewind() + 1), heed::argument_error);
    }
}

/// A state is the recurrence's, and goes on from matrices.
template <class Sequence>
void check_states(const Sequence& all) {
    const auto how = all.how(all.from);
    const index n = all.length(), dim = all.from.sizes.dim, value_dim = all.from.sizes.value_dim;
    reference::tensor expected(2, 4, n, value_dim);
    heed::linear_state<double> state;
    tensor4<double> o = all.output(), matrices(2, 2, value_dim, dim);
    index seen = 0;
    for (const index count : {45, 1, 18}) {
        go_on(all, state, o, seen, count);
        seen += count;
        REQUIRE(state.heads() == 2);
        double difference = 0;
        for (index b = 0; b < 2; ++b) {
            for (index h = 0; h < 2; ++h) {
                const auto states = reference::recurrence(all.from.q, all.from.k, all.from.v, how,
                                                          b, 2 * h, expected);
                const auto& now = states[static_cast<std::size_t>(seen) - 1];
                const Eigen::MatrixXd s = state.matrix(b, h);
                for (index c = 0; c < value_dim; ++c) {
                    for (index f = 0; f < dim; ++f) {
                        matrices(b, h, c, f) = s(c, f);
                        const double x =
                            now[static_cast<std::size_t>(c)][static_cast<std::size_t>(f)];
                        difference = std::max(difference, std::abs(s(c, f) - x));
                    }
                }
                CHECK(state.denominator(b, h).isZero(0));
            }
        }
        CHECK(difference <= 1e-12);
    }
    auto given = heed::linear_state<double>::from(matrices);
    go_on(all, given, o, seen, n - seen);
    const tensor4<double> whole = all.whole();
    double difference = 0;
    for (index e = 0; e < o.size(); ++e)
        difference = std::max(difference, std::abs(o.data()[e] - whole.data()[e]));
    CHECK(difference <= 1e-12);
}

/// What decays to nothing at a token is not read again; a number that is not finite, which
/// `number(sequence, head, token)` is, reaches later rows of its head alone.
template <class Sequence, class Number>
void check_special_values(Sequence all, const Number& number) {
    using T = typename Sequence::scalar;
    all.g.setConstant(T(-0.1));
    const index n = all.length(), columns = all.from.sizes.value_dim;
    const tensor4<T> usual = all.whole();
    for (const index at : {0, 1, 20, 31, 32, 50, 74}) {
        INFO("token " << at);
        Sequence bad = all;
        bad.g(0, 0, at) = T(-1e30);
        const tensor4<T> expected = bad.whole();
        for (index t = 0; t < at; ++t) {
            bad.in.v(0, 0, t, 2) = bad.g(0, 0, t) = number(bad, 0, t) = not_a_number;
            bad.in.k(0, 0, t, 1) = std::numeric_limits<T>::infinity();
        }
        const tensor4<T> dirty = bad.whole();
        Sequence unknown = all;
        number(unknown, 1, at) = not_a_number;
        const tensor4<T> o = unknown.whole();
        for (index t = 0; t < n; ++t) {
            for (index c = 0; c < columns; ++c) {
                for (index h = 0; h < 4; ++h)
                    if (h >= 2 || t >= at) REQUIRE(dirty(0, h, t, c) == expected(0, h, t, c));
                REQUIRE(o(0, 0, t, c) == usual(0, 0, t, c));
                REQUIRE((t < at ? o(0, 2, t, c) == usual(0, 2, t, c) : std::isnan(o(0, 2, t, c))));
            }
        }
    }
}

/// f(x, whether it is padding) of each number x of tokens of two sequences.
template <class Tensor, class F>
void for_each_number(Tensor& x, const std::vector<index>& lengths, const F& f) {
    const index rows = x.dimension(1) * x.dimension(2), columns = x.size() / (2 * rows);
    for (index e = 0; e < x.size(); ++e) {
        const index row = e / columns;
        f(x.data()[e], row % x.dimension(2) >= lengths[static_cast<std::size_t>(row / rows)]);
    }
}

/// Numbers of padding are not read, their gradients are 0, and a second call allocates nothing.
template <class Sequence>
void check_padding(const Sequence& all) {
    using T = typename Sequence::scalar;
    const std::vector<index> lengths{33, 0};
    Sequence padded = all;
    padded.each([&](auto& x) {
        bool odd = false;
        for_each_number(x, lengths, [&](T& number, bool padding) {
            if (padding) number = (odd = !odd) ? T(not_a_number) : T(5);  // more than decays may be
        });
    });
    heed::workspace memory;
    heed::linear_state<T> state({.rewindable = true});
    heed::linear_stats<T> stats;
    const auto& in = all.in;
    tensor4<T> o = all.output();
    padded.with_parts(0, all.length(), [&](const auto&... parts) {
        const auto mask = heed::key_lengths(lengths);
        heed::linear_attention_forward_into(o, stats, in.q, in.k, in.v, heed::causal, parts...,
                                            mask, heed::in(memory));
        auto gradients = heed::linear_attention_backward(
            in.d_o, o, stats, in.q, in.k, in.v, heed::causal, parts..., mask, heed::in(memory));
        const auto run = [&] {
            heed::linear_attention_forward_into(o, stats, in.q, in.k, in.v, heed::causal, parts...,
                                                mask, heed::in(memory));
            heed::linear_attention_backward_into(gradients, in.d_o, o, stats, in.q, in.k, in.v,
                                                 heed::causal, parts..., mask, heed::in(memory));
            go_on(all, state, o, 0, all.length(), heed::in(memory));
        };
        for (int time = 0; time < 2; ++time) run();
        const std::size_t before = allocations();
        for (int time = 0; time < 3; ++time) run();
        CHECK(allocations() == before);
        for (const tensor4<T>* x : {&gradients.q, &gradients.k, &gradients.v})
            for (index e = 0; e < x->size(); ++e) REQUIRE(std::isfinite(x->data()[e]));
        const auto check = [&](const auto& gradient) {
            for_each_number(gradient, lengths, [](T number, bool padding) {
                REQUIRE(std::isfinite(number));
                if (padding) REQUIRE(number == 0);
            });
        };
        std::apply([&](const auto&... learned) { (check(learned), ...); }, gradients.learned);
    });
}

}  // namespace heed_test
