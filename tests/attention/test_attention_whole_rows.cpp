#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/heed.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// The kernels for normalisers that need a whole row, by normalisers of the tests' own: a softmax
/// that takes its rows whole must be heed::softmax, and a sparsemax must be the same whether the
/// kernels know that it is sparse or not.

namespace test_attention_whole_rows {

using namespace heed_test;
using heed::arena;
using heed::index;
using heed::vec;

/// Softmax, the plain way.
template <class T>
struct whole_softmax_rows {
    struct statistics {
        T maximum, sum;
    };
    statistics normalise(T* row, index count, arena&) const {
        statistics solved{*std::max_element(row, row + count), 0};
        if (count == 0 || solved.maximum == -std::numeric_limits<T>::infinity()) {
            std::fill(row, row + count, T(0));
            return {0, 0};
        }
        for (index j = 0; j < count; ++j) solved.sum += std::exp(row[j] - solved.maximum);
        recompute(solved, row, count);
        return solved;
    }
    void recompute(const statistics& solved, T* row, index count) const {
        for (index j = 0; j < count; ++j)
            row[j] = solved.sum == 0 ? T(0) : std::exp(row[j] - solved.maximum) / solved.sum;
    }
    void gradient(const statistics&, const T*, const T* p, T* dp, index count, T*, arena&) const {
        T mean = 0;
        for (index j = 0; j < count; ++j) mean += p[j] * dp[j];
        for (index j = 0; j < count; ++j) dp[j] = p[j] * (dp[j] - mean);
    }
};

struct whole_softmax : heed::normaliser_base {
    template <class T>
    whole_softmax_rows<T> whole_row(index) const {
        return {};
    }
};

/// Sparsemax, by bisection to the last bit; `Sparse` is whether the kernels are told.
template <class T, bool Sparse>
struct slow_sparsemax_rows {
    static constexpr bool is_sparse = Sparse;
    using statistics = T;  // the threshold

    statistics normalise(T* row, index count, arena&) const {
        const T maximum = count == 0 ? T(0) : *std::max_element(row, row + count);
        if (!std::isfinite(maximum)) {
            std::fill(row, row + count, T(0));
            return 0;
        }
        T low = maximum - 1, high = maximum;
        for (int step = 0; step < 60; ++step) {
            const T middle = (low + high) / 2;
            T sum = 0;
            for (index j = 0; j < count; ++j) sum += std::max(T(0), row[j] - middle);
            (sum >= 1 ? low : high) = middle;
        }
        recompute(low, row, count);
        return low;
    }
    void recompute(const statistics& threshold, T* row, index count) const {
        for (index j = 0; j < count; ++j) row[j] = std::max(T(0), row[j] - threshold);
    }
    void gradient(const statistics&, const T*, const T* p, T* dp, index count, T*, arena&) const {
        T sum = 0, number = 0;
        for (index j = 0; j < count; ++j) {
            if (p[j] <= 0) continue;
            sum += dp[j];
            number += 1;
        }
        for (index j = 0; j < count; ++j) dp[j] = p[j] > 0 ? dp[j] - sum / number : T(0);
    }
    index support(const T* row, index count, T, T* p, std::int32_t* positions, statistics& solved,
                  arena& scratch) const {
        const arena::scope mark(scratch);
        T* all = scratch.take<T>(count);
        std::copy_n(row, count, all);
        solved = normalise(all, count, scratch);
        index number = 0;
        for (index j = 0; j < count; ++j) {
            if (all[j] <= 0) continue;
            p[number] = all[j];
            positions[number++] = static_cast<std::int32_t>(j);
        }
        return number;
    }
    vec<T> weight(vec<T>) const { return vec<T>(T(1)); }
};

template <bool Sparse>
struct slow_sparsemax : heed::normaliser_base {
    template <class T>
    slow_sparsemax_rows<T, Sparse> whole_row(index) const {
        return {};
    }
};

template <class A, class B>
void check_close(const char* what, const A& a, const B& b) {
    INFO(what);
    double largest = 1, difference = 0;
    for (index i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(b.data()[i])));
        difference = std::max(difference, std::abs(static_cast<double>(a.data()[i] - b.data()[i])));
    }
    REQUIRE(a.size() == b.size());
    CHECK(difference <= 1e-11 * largest);
}

/// Forward and backward with either normaliser, and the same parts.
template <class A, class B, class... Parts>
void check_same(const inputs<double>& in, const A& a, const B& b, const Parts&... parts) {
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, a, parts...);
    const auto [expected, expected_stats] = heed::attention_forward(in.q, in.k, in.v, b, parts...);
    check_close("o", o, expected);
    CHECK(same_bits(o, heed::attention(in.q, in.k, in.v, a, parts...)));
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, a, parts...);
    const auto expected_gradient =
        heed::attention_backward(in.d_o, expected, expected_stats, in.q, in.k, in.v, b, parts...);
    check_close("dq", gradient.q, expected_gradient.q);
    check_close("dk", gradient.k, expected_gradient.k);
    check_close("dv", gradient.v, expected_gradient.v);
    std::apply(
        [&](const auto&... learned) {
            std::apply([&](const auto&... other) { (check_close("learned", learned, other), ...); },
                       expected_gradient.learned);
        },
        gradient.learned);
}

/// The parts that matter to the kernels: intervals, lane masks, modifiers, encodings, learning.
template <class A, class B>
void check_all_parts(std::uint64_t stream, const A& a, const B& b) {
    generator random(stream);
    for (int round = 0; round < 9; ++round) {
        const extents e = round % 3 == 2 ? long_extents(random) : random_extents(random);
        INFO(to_string(e));
        const inputs<double> in(random, e, 2);
        const auto bias = to_tensor<double>(random_numbers(random, e.batch, 1, e.queries, e.keys));
        check_same(in, a, b, heed::causal, heed::learn(heed::soft_cap(3)),
                   heed::learn(heed::bias(bias)), heed::learn(heed::scale(0.4)));
        if (e.dim >= 2) {
            const auto rope = heed::rope::plain({.dim = e.dim / 2 * 2});
            check_same(in, a, b, heed::rotary(rope), heed::bias(bias), heed::soft_cap(4),
                       heed::mask([](auto i, auto j) { return (i + j) % 7 != 3; }),
                       heed::sliding_window(40, 0));
        }
    }
}

TEST_CASE("a softmax that takes its rows whole is softmax") {
    check_all_parts(161, whole_softmax{}, heed::softmax);
}

TEST_CASE("a sparse normaliser gives what it gives as a dense one") {
    check_all_parts(162, slow_sparsemax<true>{}, slow_sparsemax<false>{});
}

TEST_CASE("supports of every size give what dense rows give") {
    generator random(163);
    // From a handful of keys, kept, to all of them: beyond support_store's bound, then beyond
    // where rows are multiplied as dense ones.
    index least = 1100, most = 0;
    for (const double deviation : {30.0, 1.0, 0.1, 1e-4}) {
        INFO("deviation " << deviation);
        const inputs<double> in(random, {1, 2, 1, 70, 1100, 8, 5}, deviation);
        const auto all = heed::key_lengths(std::vector<index>{1100});
        check_same(in, slow_sparsemax<true>{}, slow_sparsemax<false>{}, heed::causal, all);
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, slow_sparsemax<true>{}, heed::causal, all);
        least = std::min(least, stats.support_size(0, 1, 69));
        most = std::max(most, stats.support_size(0, 1, 69));
    }
    CHECK(least < 5);
    CHECK(most == 1100);
}

TEST_CASE("whole rows: the same bits for any number of threads, and in any chunk") {
    generator random(164);
    const extents e{2, 4, 2, 150, 700, 16, 24};
    const inputs<float> in(random, e, 1.5);
    const auto results = [&](const auto& normaliser, const heed::on_pool& on) {
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, normaliser, heed::causal, on);
        const auto g = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, normaliser,
                                                heed::causal, on);
        return std::array{o, g.q, g.k, g.v};
    };
    const slow_sparsemax<true> sparse;
    const auto alone = heed::on_pool{nullptr};  // as without the part, by the same kernel
    const auto expected = results(sparse, alone), expected_dense = results(whole_softmax{}, alone);
    for (const int threads : {1, 2, 7}) {
        Eigen::ThreadPool pool(threads);
        const auto found = results(sparse, always_on(pool)),
                   dense = results(whole_softmax{}, always_on(pool));
        for (std::size_t of = 0; of < 4; ++of) {
            INFO(threads << " threads, result " << of << " of o, dq, dk and dv");
            CHECK(same_bits(found[of], expected[of]));
            CHECK(same_bits(dense[of], expected_dense[of]));
        }
    }
    // The last queries alone: a causal call's rows are where they were.
    const Eigen::array<index, 4> from{0, 0, 113, 0}, size{2, 4, 37, 16}, size_o{2, 4, 37, 24};
    const tensor4<float> last = in.q.slice(from, size);
    const tensor4<float> part = expected[0].slice(from, size_o);
    CHECK(same_bits(heed::attention(last, in.k, in.v, sparse, heed::causal), part));
}

TEST_CASE("whole rows: what is masked does not leak, and no query means no work") {
    generator random(165);
    const extents e{1, 2, 1, 30, 300, 8, 8};
    inputs<double> in(random, e);
    const auto lengths = std::vector<index>{170};
    const auto results = [&](const auto& normaliser) {
        const auto part = heed::cache_lengths(lengths);
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, normaliser, heed::causal, part);
        const auto g = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, normaliser,
                                                heed::causal, part);
        return std::tuple(o, g.q,
                          tensor4<double>(g.k.slice(Eigen::array<index, 4>{0, 0, 0, 0},
                                                    Eigen::array<index, 4>{1, 1, 170, 8})));
    };
    const auto clean = std::tuple(results(slow_sparsemax<true>{}), results(whole_softmax{}));
    for (index j = 170; j < 300; ++j) {
        in.k(0, 0, j, j % 8) = std::numeric_limits<double>::quiet_NaN();
        in.v(0, 0, j, j % 8) = -std::numeric_limits<double>::infinity();
    }
    const auto dirty = std::tuple(results(slow_sparsemax<true>{}), results(whole_softmax{}));
    const auto check = [](const auto& a, const auto& b) {
        CHECK(same_bits(std::get<0>(a), std::get<0>(b)));
        check_close("dq", std::get<1>(a), std::get<1>(b));
        check_close("dk", std::get<2>(a), std::get<2>(b));
    };
    check(std::get<0>(clean), std::get<0>(dirty));
    check(std::get<1>(clean), std::get<1>(dirty));

    for (const extents& empty : {extents{1, 1, 1, 0, 5, 4, 4}, extents{1, 1, 1, 3, 0, 4, 4},
                                 extents{0, 2, 1, 3, 5, 4, 4}}) {
        const inputs<double> nothing(random, empty);
        const std::vector<index> all(static_cast<std::size_t>(empty.batch), empty.keys);
        check_same(nothing, slow_sparsemax<true>{}, slow_sparsemax<false>{}, heed::causal,
                   heed::key_lengths(all));
    }
}

}  // namespace test_attention_whole_rows
