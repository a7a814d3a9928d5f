#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include <heed/attention/masks/causal.hpp>
#include <heed/attention/positions.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>

#include "attention/normaliser_check.hpp"
#include "distributed/merged_parts.hpp"
#include "reference/dense.hpp"
#include "support/attention_kernels.hpp"

// Normalisers that stream and are not softmax, over parts of the keys.

namespace test_merge_normalisers {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Merged over random cuts, o and the gradients are the reference's.
template <class T, class PartsOf>
void check_merged(generator& random, const problem& from, const reference::options& how,
                  const PartsOf& parts_of) {
    const auto cuts = random_cuts(random, from.sizes.keys);
    INFO(to_string(from.sizes) << ", parts " << cuts.size());
    const inputs<T> in(from);
    const auto exact = attention_forward(from.q, from.k, from.v, how);
    const auto expected = attention_backward(from.d_o, exact, from.q, from.k, from.v, how);
    const auto whole = merged_forward(in, cuts, parts_of);
    check_near<T>("o", to_reference(whole.output, exact.o), exact.o, 256);
    const auto gradient = merged_backward(in, cuts, whole, parts_of);
    check_near<T>("dq", to_reference(gradient.q, from.q), expected.q, 256);
    check_near<T>("dk", to_reference(gradient.k, from.k), expected.k, 256);
    check_near<T>("dv", to_reference(gradient.v, from.v), expected.v, 256);
}

/// Under a causal mask, of problems of many extents.
template <class T, class Normaliser>
void check_causal(const Normaliser& normaliser, const reference::row_normaliser& exact) {
    for_problems(311, [&](generator& random, const problem& from) {
        const extents& e = from.sizes;
        reference::options how;
        how.normaliser = exact;
        how.visible = reference::causal(e.queries, e.keys);
        check_merged<T>(random, from, how, [&](const cut& of) {
            return std::tuple(heed::causal, normaliser,
                              heed::positions(query_positions(e), key_positions(of)));
        });
    });
}

TEST_CASE("parts with Taylor softmax merge to the whole") {
    check_causal<float>(heed::taylor_softmax(2), reference::taylor_softmax(2));
}

TEST_CASE("parts with a positive function of the user's merge to the whole") {
    check_causal<double>(
        heed::positive([](auto x) { return 1 + x * x; }, [](auto x) { return 2 * x; }),
        reference::ratio([](long double x) { return 1 + x * x; },
                         [](long double x) { return 2 * x; }));
}

TEST_CASE("parts with sigmoid of one bias merge to the whole") {
    check_causal<double>(heed::sigmoid.bias(-2), reference::sigmoid(-2));
}

TEST_CASE("parts with relu squared over what a row sees merge to the whole") {
    check_causal<float>(heed::relu_squared, reference::relu_squared());
}

TEST_CASE("parts with l2 softmax merge to the whole") {
    check_causal<float>(heed::l2_softmax, reference::l2_softmax());
}

TEST_CASE("weights that fit in each part but not in their sum, and in no part") {
    // Scores are q·k: f of them is up to 2^127, or beyond floats.
    const auto normaliser = heed::normalised_relu_squared;
    for (const float large : {0x1p62F, 0x1p63F, 0x1p90F, 0x1p126F}) {
        tensor4<float> q(1, 1, 1, 1), k(1, 1, 8, 1), v(1, 1, 8, 1);
        q.setConstant(large);
        k.setConstant(1);
        for (index j = 0; j < 8; ++j) v(0, 0, j, 0) = static_cast<float>(j);
        k(0, 0, 2, 0) = 0.5F;
        const float expected = (28 - 2 + 0.25F * 2) / 7.25F;
        for (const index first : {1, 3, 7}) {
            auto [o, stats] = heed::attention_forward(q, rows_of(k, {0, first}),
                                                      rows_of(v, {0, first}), normaliser);
            const auto [o_1, stats_1] = heed::attention_forward(q, rows_of(k, {first, 8}),
                                                                rows_of(v, {first, 8}), normaliser);
            heed::merge(o, stats, o_1, stats_1);
            CHECK(std::abs(o(0, 0, 0, 0) - expected) < 1e-5F);
            tensor4<float> d_o(1, 1, 1, 1);
            d_o.setConstant(1);
            const auto gradient = heed::attention_backward(d_o, o, stats, q, k, v, normaliser);
            CHECK(std::abs(gradient.v(0, 0, 2, 0) - 0.25F / 7.25F) < 1e-6F);
        }
    }
}

}  // namespace test_merge_normalisers
