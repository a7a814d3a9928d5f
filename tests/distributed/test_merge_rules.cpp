#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/masks/key_lengths.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "attention/problem.hpp"
#include "distributed/merged_parts.hpp"
#include "support/allocations.hpp"
#include "support/attention_kernels.hpp"
#include "support/refused.hpp"

// What merging keeps, whatever the numbers: bits, rows that see nothing, infinities, NaN; and what
// it refuses.

namespace test_merge_rules {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

const auto plain = [](const cut&) { return std::tuple(heed::softmax); };

TEST_CASE("a row's bits depend neither on threads nor on what else is merged") {
    generator random(321);
    Eigen::ThreadPool pool(3);
    const inputs<float> in(random, {2, 3, 1, 700, 40, 4, 33});
    const std::vector<cut> cuts{{0, 11}, {11, 12}, {12, 40}};
    const auto alone = merged_forward(in, cuts, plain);
    const auto shared = merged_forward(in, cuts, plain, heed::on(pool));
    CHECK(same_bits(alone.output, shared.output));
    CHECK(same_bits(alone.stats.log_sum_exp(), shared.stats.log_sum_exp()));

    inputs<float> few = in;
    few.q = rows_of(in.q, {690, 697});
    const auto chunk = merged_forward(few, cuts, plain);
    CHECK(same_bits(chunk.output, rows_of(alone.output, {690, 697})));
}

TEST_CASE("memory of any strides, and of 16 bits, holds the same numbers") {
    generator random(322);
    const inputs<float> in(random, {2, 3, 1, 17, 40, 4, 13});
    const auto parts =
        std::tuple(heed::attention_forward(in.q, rows_of(in.k, {0, 9}), rows_of(in.v, {0, 9})),
                   heed::attention_forward(in.q, rows_of(in.k, {9, 40}), rows_of(in.v, {9, 40})));
    auto expected = std::get<0>(parts);
    const auto& part = std::get<1>(parts);
    heed::merge(expected.output, expected.stats, part.output, part.stats);

    Eigen::Tensor<float, 4> columns =
        std::get<0>(parts).output.swap_layout().shuffle(Eigen::array<int, 4>{3, 2, 1, 0});
    auto stats = std::get<0>(parts).stats;
    heed::merge(columns, stats, part.output, part.stats);
    const tensor4<float> back = columns.swap_layout().shuffle(Eigen::array<int, 4>{3, 2, 1, 0});
    CHECK(same_bits(back, expected.output));

    tensor4<Eigen::bfloat16> rounded = std::get<0>(parts).output.cast<Eigen::bfloat16>();
    const tensor4<Eigen::bfloat16> of_part = part.output.cast<Eigen::bfloat16>();
    stats = std::get<0>(parts).stats;
    heed::merge(rounded, stats, of_part, part.stats);
    for (index e = 0; e < rounded.size(); ++e)
        CHECK(std::abs(static_cast<float>(rounded.data()[e]) - expected.output.data()[e]) < 0.03F);
}

TEST_CASE("nothing is allocated the second time") {
    generator random(323);
    const inputs<float> in(random, {1, 2, 2, 5, 20, 4, 7});
    const auto forward = [&](const cut& of) {
        return heed::attention_forward(in.q, rows_of(in.k, of), rows_of(in.v, of));
    };
    auto whole = forward({0, 8});
    const auto part = forward({8, 20});
    heed::merge(whole.output, whole.stats, part.output, part.stats);
    const auto before = allocations();
    heed::merge(whole.output, whole.stats, part.output, part.stats);
    CHECK(allocations() == before);
}

TEST_CASE("a row that sees nothing of a part keeps its numbers") {
    generator random(324);
    const inputs<float> in(random, {2, 2, 1, 5, 20, 4, 7});
    const auto check = [&](const auto& normaliser) {
        const auto all = heed::attention_forward(in.q, in.k, in.v, normaliser);
        const auto none =
            heed::attention_forward(in.q, in.k, in.v, heed::key_lengths({0, 0}), normaliser);
        auto first = all, last = none, nothing = none;
        heed::merge(first.output, first.stats, none.output, none.stats);
        heed::merge(last.output, last.stats, all.output, all.stats);
        heed::merge(nothing.output, nothing.stats, none.output, none.stats);
        CHECK(same_bits(first.output, all.output));
        CHECK(same_bits(first.stats.log_sum_exp(), all.stats.log_sum_exp()));
        CHECK(same_bits(last.output, all.output));
        CHECK(same_bits(last.stats.log_sum_exp(), all.stats.log_sum_exp()));
        CHECK(same_bits(nothing.output, none.output));
        CHECK(same_bits(nothing.stats.log_sum_exp(), none.stats.log_sum_exp()));
    };
    check(heed::softmax);
    check(heed::softmax_plus_one);
    check(heed::sink(3));
}

TEST_CASE("NaN and infinities stay in their rows, and are those of one call") {
    generator random(325);
    const std::vector<cut> cuts{{0, 9}, {9, 20}};
    inputs<float> in(random, {1, 1, 1, 5, 20, 4, 7});
    const auto clean = merged_forward(in, cuts, plain);
    in.q(0, 0, 2, 1) = nan;  // every score of row 2
    auto whole = merged_forward(in, cuts, plain);
    for (index i = 0; i < 5; ++i)
        for (index x = 0; x < 7; ++x)
            CHECK((i == 2 ? std::isnan(whole.output(0, 0, i, x))
                          : whole.output(0, 0, i, x) == clean.output(0, 0, i, x)));

    // In one part alone: keys that row 3 does not like have a score of −∞, its neighbours' are NaN.
    in = inputs<float>(random, {1, 1, 1, 2, 20, 1, 3});
    in.q.setConstant(1);
    in.q(0, 0, 1, 0) = -1;
    in.k(0, 0, 15, 0) = infinity;
    in.v(0, 0, 4, 1) = infinity;
    whole = merged_forward(in, cuts, plain);
    const auto once = heed::attention(in.q, in.k, in.v);
    for (index i = 0; i < 2; ++i) {
        for (index x = 0; x < 3; ++x) {
            const float a = whole.output(0, 0, i, x), b = once(0, 0, i, x);
            CHECK((std::isnan(a) ? std::isnan(b) : a == b || std::abs(a - b) < 1e-5F));
        }
    }

    // The largest floats there are have a mean.
    in.k.setConstant(1);
    in.v.setConstant(std::numeric_limits<float>::max());
    for (const index first : {1, 3, 7, 13}) {
        whole = merged_forward(in, {{0, first}, {first, 20}}, plain);
        CHECK(std::isfinite(whole.output(0, 0, 0, 0)));
        CHECK(whole.output(0, 0, 0, 0) > 0.999F * std::numeric_limits<float>::max());
    }
}

TEST_CASE("scores that differ by more than an exponential holds") {
    tensor4<float> q(1, 1, 1, 1), k(1, 1, 2, 1), v(1, 1, 2, 1);
    q.setConstant(1);
    v.setValues({{{{1}, {2}}}});
    for (const float far : {1e4F, -1e4F, 1e30F}) {
        k.setValues({{{{0}, {far}}}});
        auto [o, stats] = heed::attention_forward(q, rows_of(k, {0, 1}), rows_of(v, {0, 1}));
        const auto part = heed::attention_forward(q, rows_of(k, {1, 2}), rows_of(v, {1, 2}));
        heed::merge(o, stats, part.output, part.stats);
        CHECK(o(0, 0, 0, 0) == (far > 0 ? 2.F : 1.F));
        CHECK(stats.log_sum_exp(0, 0, 0) == std::max(far, 0.F));
    }
}

TEST_CASE("a normaliser that is chosen at run time") {
    generator random(326);
    const inputs<float> in(random, {1, 2, 1, 5, 20, 4, 7});
    using choice = std::variant<heed::softmax_normaliser, heed::softmax_plus_one_normaliser>;
    const std::vector<cut> cuts{{0, 9}, {9, 20}};
    const auto chosen = merged_forward(
        in, cuts, [](const cut&) { return std::tuple(choice(heed::softmax_plus_one)); });
    const auto known =
        merged_forward(in, cuts, [](const cut&) { return std::tuple(heed::softmax_plus_one); });
    CHECK(same_bits(chosen.output, known.output));
    auto other = heed::attention_forward(in.q, in.k, in.v, choice(heed::softmax));
    check_refused<heed::argument_error>(
        "stats are those of another of the normalisers that may be chosen, but must be those of "
        "the one that is",
        [&] { heed::merge(other.output, other.stats, chosen.output, chosen.stats); });
}

/// Softmax whose rows cannot be merged when it comes to it.
struct failing_normaliser : heed::normaliser_base {
    template <class T>
    struct stream : heed::detail::softmax_stream<T> {
        using statistics = typename heed::detail::softmax_stream<T>::statistics;
        heed::detail::merge_factors<T> merge(statistics& whole, const statistics&) const {
            whole = {};
            throw std::runtime_error("no merge");
        }
    };
    template <class T>
    stream<T> streaming(index) const {
        return {{1, -std::numeric_limits<double>::infinity()}};
    }
};

TEST_CASE("stats of which a half has been merged are those of no call") {
    const heed::attention_shape shape{1, 1, 1, 3, 5, 4, 4};
    heed::stats<float, failing_normaliser> kept;
    std::fill_n(kept.begin(shape, {}), 3, heed::softmax_statistics<float>{0, 1});
    kept.end(shape);
    const auto part = kept;
    const Eigen::MatrixXf o_part = Eigen::MatrixXf::Ones(3, 4);
    Eigen::MatrixXf o = o_part;
    CHECK_THROWS_AS(heed::merge(o, kept, o_part, part), std::runtime_error);
    CHECK(kept.extents() == std::array<index, 3>{0, 0, 0});
    CHECK(part.extents() == std::array<index, 3>{1, 1, 3});
}

TEST_CASE("what is not of the same call is refused before anything is written") {
    generator random(327);
    const extents e{2, 2, 1, 5, 20, 4, 7};
    const inputs<float> in(random, e);
    auto whole = heed::attention_forward(in.q, in.k, in.v);
    const auto kept = whole;
    const auto refused = [&](const auto& check, const std::string& message, const auto& merge) {
        check(message, merge);
        CHECK(same_bits(whole.output, kept.output));
        CHECK(same_bits(whole.stats.log_sum_exp(), kept.stats.log_sum_exp()));
    };
    const auto by_shape = [](const std::string& message, const auto& f) {
        check_refused<heed::shape_error>(message, f);
    };
    const auto by_argument = [](const std::string& message, const auto& f) {
        check_refused<heed::argument_error>(message, f);
    };

    extents few = e;
    few.queries = 4;
    const inputs<float> other(random, few);
    const auto of_few = heed::attention_forward(other.q, other.k, other.v);
    refused(by_shape,
            "stats are those of a call of shape [2, 2, 1, 5, 4, 7] ([batch, heads, kv_heads, "
            "queries, dim, value_dim]), and those of the part of [2, 2, 1, 4, 4, 7], but they may "
            "differ in their keys alone",
            [&] { heed::merge(whole.output, whole.stats, of_few.output, of_few.stats); });
    refused(by_shape, "o of the part has shape [2, 2, 4, 7], but must have [2, 2, 5, 7]",
            [&] { heed::merge(whole.output, whole.stats, of_few.output, kept.stats); });
    refused(by_argument,
            "the stats of the part are those that it is merged into, but must be those of other "
            "keys",
            [&] { heed::merge(whole.output, whole.stats, kept.output, whole.stats); });
    refused(by_argument,
            "o (shape [2, 2, 5, 7]) overlaps o of the part (shape [2, 2, 5, 7]) in memory, but "
            "outputs must lie apart from inputs",
            [&] { heed::merge(whole.output, whole.stats, whole.output, kept.stats); });
    const heed::stats_for<float> none;
    CHECK_THROWS_AS(heed::merge(whole.output, whole.stats, kept.output, none),
                    heed::argument_error);
    const auto warm = heed::attention_forward(in.q, in.k, in.v, heed::softmax.temperature(2));
    refused(by_argument,
            "stats are those of another temperature, sink or other value of the normaliser than "
            "those of the part, in head 0, but they must be those of one normaliser",
            [&] { heed::merge(whole.output, whole.stats, warm.output, warm.stats); });
    auto counted = heed::attention_forward(in.q, in.k, in.v, heed::sigmoid);
    const auto counted_part = counted;
    check_refused<heed::argument_error>(
        "heed::sigmoid has the bias -log n of the n keys that a row sees in its own part, but "
        "results that are to be merged must be those of one bias: heed::sigmoid.bias(b)",
        [&] {
            heed::merge(counted.output, counted.stats, counted_part.output, counted_part.stats);
        });

    // Merged stats serve any part of their keys, and no more than those.
    heed::merge(whole.output, whole.stats, kept.output, kept.stats);
    const auto backward = [&](index keys) {
        const tensor4<float> k = random.tensor<float>(2, 1, keys, 4);
        const tensor4<float> v = random.tensor<float>(2, 1, keys, 7);
        return heed::attention_backward(in.d_o, whole.output, whole.stats, in.q, k, v);
    };
    backward(1), backward(40);
    CHECK_THROWS_AS(backward(41), heed::shape_error);
    CHECK_THROWS_AS(heed::attention_backward(in.d_o, kept.output, kept.stats, in.q,
                                             rows_of(in.k, {0, 9}), rows_of(in.v, {0, 9})),
                    heed::shape_error);
}

}  // namespace test_merge_rules
