#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/xpos.hpp>
#include <heed/softmax/sparse/entmax15.hpp>

#include "attention/caches/cache_check.hpp"
#include "support/attention_kernels.hpp"

/// \file
/// Attention over a cache has the bits of attention(q, k, v), however the tokens came into it.

namespace test_kv_cache {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// Lengths around the ends of pages and panels.
const std::vector<index> lengths{1, 2, 17, 127, 128, 129, 255, 256, 257, 300, 513};

/// Prefill, pieces, and single tokens, of a cache with these parts, against tensors.
template <class T, class Encoding, class... Parts>
void check_all_pieces(generator& random, index n, const Encoding& encoding, const Parts&... parts) {
    const tokens<T> in(random, 2, 4, random.one_of<index>({1, 2, 4}), n,
                       random.one_of<index>({8, 11, 24}), random.one_of<index>({5, 16, 33}));
    INFO("n " << n << ", dim " << in.q.dimension(3) << ", kv heads " << in.k.dimension(1));
    const auto expected = heed::attention(in.q, in.k, in.v, heed::causal, encoding, parts...);
    for (const std::vector<index>& sizes :
         {std::vector<index>{n}, {1}, {random.integer(2, 9)}, {n / 2 + 1, 1}, {200, 3, 70}}) {
        heed::kv_cache<T> cache(in.options(random.integer(1, n)), encoding);
        check_pieces(cache, in, expected, sizes, parts...);
        CHECK(cache.length() == n);
    }
}

const auto rope = heed::rope::plain({.dim = 8});

TEST_CASE("a cache has the bits of tensors, for any pieces: float") {
    generator random(9101);
    for (const index n : lengths) check_all_pieces<float>(random, n, heed::rotary(rope));
}

TEST_CASE("a cache has the bits of tensors, for any pieces: double") {
    generator random(9102);
    for (const index n : {1, 128, 130, 257})
        check_all_pieces<double>(random, n, heed::rotary(rope));
}

TEST_CASE("a cache has the bits of tensors under every kind of part") {
    generator random(9103);
    Eigen::VectorXf slopes(4);
    slopes << 0.5F, 0.1F, 0.02F, 0.004F;
    const index n = 270;
    const auto encoding = heed::rotary(rope);
    check_all_pieces<float>(random, n, encoding, heed::entmax15);
    check_all_pieces<float>(random, n, encoding, heed::alibi(slopes), heed::soft_cap(5));
    check_all_pieces<float>(random, n, encoding, heed::log_n_scale(64));
}

TEST_CASE("a cache turns queries by any position encoding of its own") {
    generator random(9104);
    check_all_pieces<float>(random, 270, heed::rectified_rotary(rope, 40));
    check_all_pieces<float>(random, 270, heed::leaky_rectified_rotary(rope, 40, 4));
    check_all_pieces<float>(random, 140, heed::xpos(rope, heed::xpos_decays(8)));
}

TEST_CASE("what acts on keys happens when they are appended") {
    generator random(9105);
    const tokens<float> in(random, 2, 4, 2, 140, 8, 5);
    const auto of_keys = random.matrix<float>(2, 8), of_queries = random.matrix<float>(4, 8);
    const auto query_bias = heed::query_bias(of_queries);
    const auto expected =
        heed::attention(in.q, in.k, in.v, heed::causal, heed::rotary(rope), heed::key_bias(of_keys),
                        query_bias, heed::cosine.scale(9));
    heed::kv_cache<float> cache(in.options(), heed::key_norm, heed::rotary(rope),
                                heed::key_bias(of_keys));
    check_pieces(cache, in, expected, {100, 1}, query_bias, heed::cosine.scale(9));
}

TEST_CASE("calls over a cache take choices, pools, workspaces, and give stats and observations") {
    generator random(9106);
    const tokens<float> in(random, 3, 6, 2, 300, 16, 16);
    heed::kv_cache<float> cache(in.options(), heed::rotary(rope));
    cache.append(in.k, in.v);
    const auto [o, stats, entropy] = heed::attention_forward(in.q, in.k, in.v, heed::causal,
                                                             heed::rotary(rope), heed::row_entropy);
    const auto [cached_o, cached_stats, cached_entropy] =
        heed::attention_forward(in.q, cache, heed::causal, heed::row_entropy);
    CHECK(are_same(o, cached_o));
    bool same = true;
    for (index i = 0; i < entropy.size(); ++i)
        same = same && entropy.data()[i] == cached_entropy.data()[i];
    CHECK(same);
    for (index b = 0; b < 3; ++b)
        for (index h = 0; h < 6; ++h)
            same = same && stats.log_sum_exp(b, h, 299) == cached_stats.log_sum_exp(b, h, 299);
    CHECK(same);

    Eigen::ThreadPool pool(3);
    heed::workspace memory;
    using choice = std::variant<heed::causal_mask, decltype(heed::causal.top_left())>;
    CHECK(are_same(o, heed::attention(in.q, cache, choice(heed::causal), always_on(pool),
                                      heed::in(memory), std::optional<heed::soft_cap_modifier>())));
    const auto last = rows_of(in.q, 299, 1);
    CHECK(
        are_same(rows_of(o, 299, 1), heed::attention(last, cache, heed::causal, always_on(pool))));
    CHECK(are_same(rows_of(o, 297, 3),
                   heed::attention(rows_of(in.q, 297, 3), cache, heed::causal, always_on(pool))));
}

TEST_CASE("a cache of one head and one sequence takes tensors of fewer axes") {
    generator random(9107);
    const auto q = random.matrix<float>(7, 6), k = random.matrix<float>(7, 6),
               v = random.matrix<float>(7, 4);
    heed::kv_cache<float> cache({.dim = 6, .value_dim = 4});
    cache.append(k, v);
    const Eigen::MatrixXf o = heed::attention(q, cache, heed::causal);
    const Eigen::MatrixXf expected = heed::attention(q, k, v, heed::causal);
    CHECK(o == expected);
    const Eigen::MatrixXf columns = k;  // column-major, strided
    cache.clear();
    cache.append(columns, v);
    CHECK(heed::attention(q, cache, heed::causal) == expected);
}

TEST_CASE("an empty cache and an empty append are ordinary") {
    generator random(9108);
    const tokens<float> in(random, 2, 2, 2, 3, 8, 4);
    heed::kv_cache<float> cache(in.options(), heed::rotary(rope));
    const auto o = heed::attention(in.q, cache);
    CHECK(are_same(o, tensor4<float>(o.constant(0))));
    cache.append(rows_of(in.k, 0, 0), rows_of(in.v, 0, 0));
    CHECK(cache.length(0) == 0);
    CHECK(heed::attention(rows_of(in.q, 0, 0), cache).size() == 0);
}

TEST_CASE("a thousand pages do not lose the first digits") {
    // More keys than one stretch of sums holds.
    generator random(9109);
    const tokens<float> in(random, 1, 4, 1, 8700, 4, 4);
    heed::kv_cache<float> cache(in.options());
    cache.append(in.k, in.v);
    const auto last = rows_of(in.q, 8699, 1);
    CHECK(are_same(heed::attention(last, cache), heed::attention(last, in.k, in.v)));
}

}  // namespace test_kv_cache
