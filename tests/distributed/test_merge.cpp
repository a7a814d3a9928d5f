#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/scales/counted_scale.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>

#include "attention/reference_check.hpp"
#include "distributed/merged_parts.hpp"
#include "support/attention_kernels.hpp"

// Attention over parts of the keys, merged, is attention over all of them: the reference's, of the
// whole sequence, within the accuracy that is promised of one call and what each merge rounds.

namespace test_merge {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Merged over random cuts, o, the log-sum-exp and the gradients are the reference's.
template <class T, class PartsOf>
void check_merged(generator& random, const problem& from, const reference::options& how,
                  const PartsOf& parts_of) {
    const auto cuts = random_cuts(random, from.sizes.keys);
    INFO((std::is_same_v<T, float> ? "float, " : "double, ")
         << to_string(from.sizes) << ", parts " << cuts.size());
    const inputs<T> in(from);
    const auto& d_lse = from.d_log_sum_exp;
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const auto expected = attention_backward(from.d_o, exact, from.q, from.k, from.v, how, d_lse);
    auto bound = reference::forward_bounds<T>(exact, from.v, how);
    auto bounds =
        reference::backward_bounds<T>(from.d_o, exact, from.q, from.k, from.v, how, d_lse);
    // A merge rounds its two factors, the products and their sum: two of the eight units.
    const double slack = slack_of(exact, how) * (1 + 0.25 * static_cast<double>(cuts.size() - 1));
    for (auto* x : {&bound.o, &bound.log_sum_exp, &bounds.q, &bounds.k, &bounds.v})
        multiply(*x, slack);

    const auto whole = merged_forward(in, cuts, parts_of);
    check_within<T>("o", to_reference(whole.output, exact.o), exact.o, bound.o);
    auto log_sum_exp_bound = bound.log_sum_exp;
    for (std::size_t row = 0; row < log_sum_exp_bound.values.size(); ++row)
        log_sum_exp_bound.values[row] =
            how.temperature * log_sum_exp_bound.values[row] +
            2 * std::abs(exact.log_sum_exp.values[row]) * std::numeric_limits<T>::epsilon();
    check_within<T>("log-sum-exp", to_reference(whole.stats.log_sum_exp(), exact.log_sum_exp),
                    exact.log_sum_exp, log_sum_exp_bound);

    const auto gradient =
        merged_backward(in, cuts, whole, parts_of, heed::log_sum_exp_gradient(in.d_log_sum_exp));
    check_within<T>("dq", to_reference(gradient.q, from.q), expected.q, bounds.q);
    check_within<T>("dk", to_reference(gradient.k, from.k), expected.k, bounds.k);
    check_within<T>("dv", to_reference(gradient.v, from.v), expected.v, bounds.v);
}

TEST_CASE("causal parts with rotary positions merge to the whole") {
    for_problems(301, [](generator& random, const problem& drawn) {
        extents e = drawn.sizes;
        e.dim += e.dim % 2;
        const problem from(random, e);
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        how.rotary = reference::rotation{reference::plain_frequencies(e.dim, 500), false, 1};
        const auto rope = heed::rope::plain({.dim = e.dim, .base = 500});
        const auto parts_of = [&](const cut& of) {
            return std::tuple(heed::causal, heed::rotary(rope),
                              heed::positions(query_positions(e), key_positions(of)));
        };
        check_merged<float>(random, from, how, parts_of);
        check_merged<double>(random, from, how, parts_of);
    });
}

TEST_CASE("parts of a window with distances, a soft cap and sinks merge to the whole") {
    for_problems(302, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const index left = random.integer(0, 40);
        std::vector<double> sinks, slopes;
        for (index h = 0; h < e.heads; ++h) {
            sinks.push_back(random.one_of({-3.0, 0.5, 20.0, -1.0 / 0.0}));
            slopes.push_back(0.125);
        }
        reference::options how;
        how.visible = reference::sliding_window(left, 3, e.queries, e.keys);
        how.modifiers = {reference::alibi(slopes, e.queries, e.keys), reference::soft_cap(3)};
        how.sink = sinks;
        check_merged<float>(random, from, how, [&](const cut& of) {
            return std::tuple(heed::sliding_window(left, 3), heed::alibi(slopes), heed::soft_cap(3),
                              heed::sink(sinks),
                              heed::positions(query_positions(e), key_positions(of)));
        });
    });
}

TEST_CASE("ragged lengths and scales of what a row sees in the whole") {
    for_problems(303, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        std::vector<index> lengths;
        Eigen::MatrixXd counts(e.batch, e.queries);
        for (index b = 0; b < e.batch; ++b) {
            lengths.push_back(random.integer(0, e.keys));
            counts.row(b).setConstant(static_cast<double>(lengths.back()));
        }
        const auto length_of = [&](index b) { return lengths[static_cast<std::size_t>(b)]; };
        reference::options how;
        how.temperature = 1.5;
        how.visible = [&](index b, index, index, index j) { return j < length_of(b); };
        how.scale = [&](index b, index, index) {
            return reference::log_n_scale(length_of(b), e.dim, 16);
        };
        check_merged<float>(random, from, how, [&](const cut& of) {
            std::vector<index> own;
            for (const index length : lengths)
                own.push_back(std::clamp<index>(length - of.first, 0, of.count()));
            return std::tuple(heed::key_lengths(std::move(own)), heed::softmax.temperature(1.5),
                              heed::counted_scale(heed::log_n_scale(16), counts));
        });
    });
}

TEST_CASE("counts that are not one a query, or no counts, are refused") {
    generator random(304);
    const inputs<float> in(random, {1, 1, 1, 3, 5, 4, 4});
    const auto attend = [&](const std::vector<double>& counts) {
        return heed::attention_forward(in.q, in.k, in.v,
                                       heed::counted_scale(heed::log_n_scale(16), counts));
    };
    CHECK_NOTHROW(attend({5, 4, 0}));
    CHECK_THROWS_AS(attend({5, 4}), heed::shape_error);
    CHECK_THROWS_AS(attend({5, -1, 4}), heed::argument_error);
    CHECK_THROWS_AS(attend({5, 3.5, 4}), heed::argument_error);
    CHECK_THROWS_AS(attend({5, std::numeric_limits<double>::infinity(), 4}), heed::argument_error);
}

}  // namespace test_merge
