// A cache whose keys begin with their values, stored once, is one that stores both.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/caches/cache_check.hpp"
#include "support/attention_kernels.hpp"
#include "support/refused.hpp"

namespace test_kv_cache_values_in_keys {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

template <class T>
using tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// The first columns of keys.
template <class T>
tensor<T> values_of(const tensor<T>& k, index value_dim) {
    return k.slice(
        Eigen::array<Eigen::Index, 4>{0, 0, 0, 0},
        Eigen::array<Eigen::Index, 4>{k.dimension(0), k.dimension(1), k.dimension(2), value_dim});
}

heed::kv_cache_options options(index value_dim, bool values_in_keys) {
    return {.batch = 2,
            .kv_heads = 2,
            .dim = 21,
            .value_dim = value_dim,
            .values_in_keys = values_in_keys};
}

/// Both caches after the same appends; `with` further parts.
template <class Storage, class... Parts>
void check_storage(generator& random, index value_dim, index queries, const Parts&... with) {
    using T = heed::computed_scalar<Storage>;
    heed::kv_cache<Storage> once(options(value_dim, true)), twice(options(value_dim, false));
    const auto q = random.tensor<T>(2, 4, queries, 21);
    for (const index rows : {5, 1, 280}) {
        const auto k = random.tensor<T>(2, 2, rows, 21);
        once.append(k);
        twice.append(k, values_of(k, value_dim));
        CHECK(same_bits(heed::attention(q, once, with...), heed::attention(q, twice, with...)));
    }
    CHECK(once.bytes() < twice.bytes());
    once.truncate(0, 3);  // what was behind leaves nothing
    twice.truncate(0, 3);
    once.share_prefix(1, 0, 100);
    twice.share_prefix(1, 0, 100);
    const auto k = random.tensor<T>(2, 2, 200, 21);
    once.append(k);
    twice.append(k, values_of(k, value_dim));
    CHECK(same_bits(heed::attention(q, once, with...), heed::attention(q, twice, with...)));
}

TEST_CASE("values in keys give the bits of keys and values") {
    generator random(9801);
    for (const index value_dim : {1, 16, 21}) {
        check_storage<float>(random, value_dim, 1, heed::causal);
        check_storage<float>(random, value_dim, 40, heed::causal);
    }
    check_storage<double>(random, 17, 3, heed::causal);
    check_storage<Eigen::half>(random, 17, 40, heed::causal);
    check_storage<float>(random, 17, 2, heed::causal, heed::sparsemax);
    // Queries that all see the same keys, more than one tile has rows: keys are read as rows.
    for (const index queries : {13, 40}) check_storage<float>(random, 17, queries);
    check_storage<float>(random, 21, 16);
    check_storage<double>(random, 16, 29);
}

TEST_CASE("rows of attention over wide values have the same bits alone") {
    generator random(9804);
    heed::kv_cache<float> cache({.dim = 310, .value_dim = 300, .values_in_keys = true});
    auto k = random.tensor<float>(1, 1, 300, 310);
    k(0, 0, 7, 2) = std::numeric_limits<float>::infinity();  // the first block has its own way
    cache.append(k);
    const auto q = random.tensor<float>(1, 1, 40, 310);
    const Eigen::array<Eigen::Index, 4> from{0, 0, 35, 0}, q_extents{1, 1, 5, 310};
    const Eigen::array<Eigen::Index, 4> o_extents{1, 1, 5, 300};
    const tensor<float> last = q.slice(from, q_extents);
    const auto check = [&](const auto&... mask) {
        const tensor<float> of_all = heed::attention(q, cache, mask...).slice(from, o_extents);
        CHECK(same_bits(heed::attention(last, cache, mask...), of_all));
    };
    check();
    check(heed::causal);
}

/// Queries at the ends of sequences of bfloat16, whose pairs some machines multiply, where keys
/// begin with their values: errors, and bits that depend on nothing but the row. All of it holds on
/// the others too.
template <class... Mask>
void check_pairs(generator& random, index heads, index queries, index dim, index value_dim,
                 const Mask&... mask) {
    constexpr index keys = 301, shorter = 289;
    const auto attend = [&](const auto& q, const auto& cache, Eigen::ThreadPool* pool) {
        return heed::attention(q, cache, mask..., heed::on_pool{.pool = pool, .least_work = 0});
    };
    const auto fill = [&](auto& cache, const auto& k) {
        cache.append(k);
        if (cache.batch() > 1) cache.truncate(1, shorter);
    };
    const heed::kv_cache_options two{
        .batch = 2, .dim = dim, .value_dim = value_dim, .values_in_keys = true};
    heed::kv_cache<Eigen::bfloat16> cache(two);
    heed::kv_cache<float> exact(two);
    const auto k = random.tensor<float>(2, 1, keys, dim);
    const auto q = random.tensor<float>(2, heads, queries, dim);
    fill(cache, k);
    fill(exact, tensor<float>(k.cast<Eigen::bfloat16>().cast<float>()));
    const auto o = attend(q, cache, nullptr), right = attend(q, exact, nullptr);
    double error = 0, size = 0;
    for (index e = 0; e < o.size(); ++e) {
        const auto number = static_cast<double>(right.data()[e]);
        error += std::pow(static_cast<double>(o.data()[e]) - number, 2);
        size += number * number;
    }
    CHECK(std::sqrt(error / size) < 6e-3);

    Eigen::ThreadPool pool(3);
    CHECK(same_bits(attend(q, cache, &pool), o));
    for (const index count : {1, 2, 13}) {
        if (count > queries) continue;
        INFO(count << " queries alone");
        CHECK(same_bits(attend(rows_of(q, queries - count, count), cache, nullptr),
                        rows_of(o, queries - count, count)));
    }
    heed::kv_cache<Eigen::bfloat16> alone(
        {.dim = dim, .value_dim = value_dim, .values_in_keys = true});
    fill(alone, rows_of(sequence_of(k, 1), 0, shorter));
    CHECK(same_bits(attend(sequence_of(q, 1), alone, nullptr), sequence_of(o, 1)));
}

TEST_CASE("values in keys of bfloat16: any chunk, batch and threads, near floats") {
    generator random(9805);
    check_pairs(random, 2, 40, 21, 17, heed::causal);
    check_pairs(random, 5, 3, 72, 64, heed::causal);  // heads are rows of one tile
    for (const index queries : {8, 40}) check_pairs(random, 1, queries, 30, 13);
}

TEST_CASE("what a cache of bfloat16 has forgotten, NaN among it, is not seen") {
    generator random(9806);
    const heed::kv_cache_options one{.dim = 21, .value_dim = 17, .values_in_keys = true};
    heed::kv_cache<Eigen::bfloat16> clean(one), used(one);
    const auto k = random.tensor<float>(1, 1, 37, 21);  // the last key has no partner
    const auto q = random.tensor<float>(1, 1, 20, 21);
    clean.append(k);
    used.append(k);
    tensor<float> lost(1, 1, 3, 21);
    lost.setConstant(std::numeric_limits<float>::quiet_NaN());
    used.append(lost);
    const auto seen = heed::attention(q, used, heed::causal);
    CHECK(std::isnan(seen(0, 0, 19, 0)));
    CHECK(same_bits(rows_of(seen, 0, 17), heed::attention(rows_of(q, 0, 17), clean, heed::causal)));
    used.truncate(0, 37);
    for (const bool more : {false, true}) {
        const auto last = random.tensor<float>(1, 1, 1, 21);
        if (more) used.append(last);
        if (more) clean.append(last);
        CHECK(same_bits(heed::attention(q, used, heed::causal),
                        heed::attention(q, clean, heed::causal)));
        CHECK(same_bits(heed::attention(q, used), heed::attention(q, clean)));
    }
}

TEST_CASE("values in keys of 8 bits are what is read of them") {
    generator random(9802);
    heed::kv_cache<std::int8_t> cache(options(13, true));
    heed::kv_cache<float> exact(options(13, true));
    const auto k = random.tensor<float>(2, 2, 270, 21);
    cache.append(k);
    tensor<float> stored(2, 2, 270, 21);
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> values(270, 13);
    for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h) {
            float* const at = stored.data() + (b * 2 + h) * 270 * 21;
            cache.read(b, h, 0, 270, heed::view(at, {270, 21}), values);
            bool same = true, close = true;
            for (index i = 0; i < 270; ++i)
                for (index c = 0; c < 21; ++c) {
                    if (c < 13) same = same && values(i, c) == stored(b, h, i, c);
                    close = close && std::abs(stored(b, h, i, c) - k(b, h, i, c)) < 0.03F;
                }
            CHECK(same);
            CHECK(close);
        }
    exact.append(stored);
    const auto q = random.tensor<float>(2, 4, 3, 21);
    CHECK(same_bits(heed::attention(q, cache, heed::causal),
                    heed::attention(q, exact, heed::causal)));
}

TEST_CASE("a cache of values in keys takes keys alone, without parts") {
    generator random(9803);
    const auto k = random.tensor<float>(2, 2, 5, 21);
    heed::kv_cache<float> once(options(16, true)), twice(options(16, false));
    const std::string given =
        "append: v is given, but the cache has values_in_keys and takes k alone";
    check_refused<heed::argument_error>(given, [&] { once.append(k, values_of(k, 16)); });
    CHECK_THROWS_AS(once.append(k, values_of(k, 16), std::vector<int>{1, 2}), heed::argument_error);
    const auto one = random.tensor<float>(2, 5, 21), v = random.tensor<float>(2, 5, 16);
    CHECK_THROWS_AS(once.append(0, one, v), heed::argument_error);
    CHECK_THROWS_AS(once.append(random.tensor<float>(2, 2, 5, 20)), heed::shape_error);
    CHECK(once.length() == 0);
    check_refused<heed::argument_error>(
        "append: v is not given, but only a cache with values_in_keys finds it in k",
        [&] { twice.append(k); });
    check_refused<heed::argument_error>(
        "heed::kv_cache: value_dim is 22, but values in keys have dim numbers at most, 21",
        [] { heed::kv_cache<float> cache(options(22, true)); });
    check_refused<heed::argument_error>(
        "heed::kv_cache: values_in_keys is true, but parts that act on keys would act on their "
        "values",
        [] {
            heed::kv_cache<float> cache(options(16, true),
                                        heed::rotary(heed::rope::plain({.dim = 4})));
        });
}

}  // namespace test_kv_cache_values_in_keys
