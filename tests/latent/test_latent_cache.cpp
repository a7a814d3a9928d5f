// Latent attention over a cache of c and k_r: expanded and absorbed, for each storage, the same
// bits for any pieces.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"
#include "support/refused.hpp"

namespace test_latent {

/// Tokens first … first + count − 1 of each sequence.
template <class T>
tensor<T> tokens_of(const tensor<T>& x, index first, index count) {
    return x.slice(Eigen::array<Eigen::Index, 3>{0, first, 0},
                   Eigen::array<Eigen::Index, 3>{x.dimension(0), count, x.dimension(2)});
}

/// y of all tokens, piece by piece over one cache, `absorbed` or not.
template <class Storage, class T>
tensor<T> in_pieces(const heed::latent_attention<T>& mla, const tensor<T>& x,
                    const std::vector<index>& pieces, bool absorbed,
                    Eigen::ThreadPool* pool = nullptr) {
    auto cache = mla.template make_cache<Storage>({.batch = x.dimension(0)});
    tensor<T> y;
    index first = 0;
    for (const index count : pieces) {
        const tensor<T> piece = tokens_of(x, first, count);
        heed::on_pool threads{.pool = pool};
        const tensor<T> part =
            absorbed ? mla.decode(piece, cache, threads) : mla.prefill(piece, cache, threads);
        if (first == 0) y.resize(x.dimension(0), x.dimension(1), part.dimension(2));
        y.slice(Eigen::array<Eigen::Index, 3>{0, first, 0},
                Eigen::array<Eigen::Index, 3>{x.dimension(0), count, part.dimension(2)}) = part;
        first += count;
    }
    REQUIRE(first == x.dimension(1));
    return y;
}

template <class T>
double relative_error(const tensor<T>& found, const tensor<T>& right) {
    double error = 0, size = 0;
    for (index i = 0; i < right.size(); ++i) {
        const auto a = static_cast<double>(found.data()[i]);
        const auto b = static_cast<double>(right.data()[i]);
        error += (a - b) * (a - b);
        size += b * b;
    }
    return std::sqrt(error / size);
}

/// Pieces of random lengths.
std::vector<index> random_pieces(heed_test::generator& random, index tokens) {
    std::vector<index> pieces;
    for (index left = tokens; left > 0; left -= pieces.back())
        pieces.push_back(std::min(left, random.one_of<index>({1, 1, 1, 2, 5, 13, 100})));
    return pieces;
}

/// Both forms against forward within `error`; either the same for any pieces and threads.
template <class Storage, class T>
void check_storage(heed_test::generator& random, const variant& of, index tokens, double error) {
    INFO(to_string(of));
    const layer<T> from(random, of);
    const auto mla = from.attention();
    const tensor<T> x = random.tensor<T>(2, tokens, of.model);
    const tensor<T> y = mla.forward(x).y;
    Eigen::ThreadPool pool(2);
    for (const bool absorbed : {false, true}) {
        const tensor<T> whole = in_pieces<Storage>(mla, x, {tokens}, absorbed);
        CHECK(relative_error(whole, y) <= error);
        CHECK(
            same_bits(in_pieces<Storage>(mla, x, random_pieces(random, tokens), absorbed), whole));
        CHECK(same_bits(in_pieces<Storage>(mla, x, {1, tokens - 1}, absorbed, &pool), whole));
        CHECK(same_bits(in_pieces<Storage>(mla.packed(), x, {4, tokens - 4}, absorbed), whole));
        if (!absorbed && error == 0) CHECK(same_bits(whole, y));
    }
}

TEST_CASE("latent attention over a cache is forward, absorbed to rounding") {
    heed_test::generator random(750);
    for (const variant& of : variants()) check_storage<double, double>(random, of, 40, 1e-14);
    variant many = variants().back();  // several pages, more heads than a strip
    many.heads = 14;
    check_storage<double, double>(random, many, 300, 1e-14);
}

TEST_CASE("latent attention over a cache of floats, of 16 and of 8 bits") {
    heed_test::generator random(751);
    const variant of = variants().back();
    check_storage<float, float>(random, of, 61, 1e-6);
    check_storage<Eigen::bfloat16, float>(random, of, 61, 1e-2);
    check_storage<Eigen::half, float>(random, variants()[2], 300, 1e-3);
    check_storage<std::int8_t, float>(random, of, 300, 3e-2);
}

TEST_CASE("expanded latent attention over a cache has forward's bits") {
    heed_test::generator random(752);
    for (const variant& of : variants()) {
        const layer<float> from(random, of);
        const tensor<float> x = random.tensor<float>(2, 70, of.model);
        CHECK(same_bits(in_pieces<float>(from.attention(), x, {30, 1, 39}, false),
                        from.attention().forward(x).y));
    }
}

TEST_CASE("sequences of a latent cache have their own lengths, and are those of a kv_cache") {
    heed_test::generator random(753);
    const layer<float> from(random, variants().back());
    const auto mla = from.attention();
    const tensor<float> x = random.tensor<float>(2, 9, from.of.model);
    auto cache = mla.make_cache<float>({.batch = 2, .capacity = 300});
    auto alone = mla.make_cache<float>();
    CHECK(cache.bytes() >= 2 * 2 * 256 * 11 * sizeof(float));
    CHECK(alone.bytes() <= 256 * 64 * sizeof(float));
    (void)mla.prefill(x, cache);
    cache.truncate(1, 4);
    const Eigen::MatrixXf first = sequence_of(x, 1).topRows(4);
    (void)mla.prefill(first, alone);
    CHECK(alone.length(0) == 4);
    for (const bool absorbed : {true, false}) {
        const tensor<float> next = random.tensor<float>(2, 3, from.of.model);
        const Eigen::MatrixXf next_alone = sequence_of(next, 1);
        const tensor<float> y = absorbed ? mla.decode(next, cache) : mla.prefill(next, cache);
        const Eigen::MatrixXf z =
            absorbed ? mla.decode(next_alone, alone) : mla.prefill(next_alone, alone);
        for (index i = 0; i < 3; ++i)
            for (index c = 0; c < from.of.outputs; ++c) CHECK(y(1, i, c) == z(i, c));
    }
    CHECK(cache.length(0) == 15);
    CHECK(cache.length(1) == 10);
    // No tokens.
    CHECK(mla.decode(tensor<float>(2, 0, from.of.model), cache).size() == 0);

    // Keys begin with their values.
    Eigen::MatrixXf keys(10, 11), values(10, 7), keys_alone(10, 11), values_alone(10, 7);
    cache.read(1, 0, 0, 10, keys, values);
    alone.read(0, 0, 0, 10, keys_alone, values_alone);
    CHECK(keys == keys_alone);
    CHECK(keys.leftCols(7) == values);
}

TEST_CASE("a packed latent attention keeps the numbers that were packed") {
    heed_test::generator random(755);
    layer<float> from(random, variants().back());
    const auto mla = from.attention(), packed = mla.packed();
    const auto copy = packed;
    index numbers = 0;  // of matrices
    heed::for_each_latent_weight(from.numbers, from.numbers, [&](auto, const auto& w, const auto&) {
        if (w.cols() > 1) numbers += w.size();
    });
    CHECK(mla.packed_bytes() == 0);
    CHECK(packed.packed_bytes() >= static_cast<std::size_t>(numbers) * sizeof(float));
    CHECK(copy.packed_bytes() == packed.packed_bytes());
    const tensor<float> x = random.tensor<float>(1, 9, from.of.model);
    const tensor<float> y = in_pieces<float>(mla, x, {4, 5}, true);
    CHECK(same_bits(packed.forward(x).y, mla.forward(x).y));
    from.numbers.o_proj *= 2;
    from.numbers.kv_b_proj *= 0.5F;
    const tensor<float> changed = in_pieces<float>(mla, x, {4, 5}, true);
    CHECK(!same_bits(changed, y));
    CHECK(same_bits(in_pieces<float>(copy, x, {4, 5}, true), y));
    CHECK(same_bits(in_pieces<float>(packed.packed(), x, {4, 5}, true), changed));
}

TEST_CASE("a cache of another layer is refused") {
    heed_test::generator random(754);
    const layer<float> from(random, {});
    const auto mla = from.attention();
    const tensor<float> x = random.tensor<float>(2, 3, from.of.model);
    auto cache = mla.make_cache<float>();
    heed_test::check_refused<heed::shape_error>("x has 2 sequences, but the cache has 1",
                                                [&] { mla.decode(x, cache); });
    heed::kv_cache<float> plain({.batch = 2, .dim = 11, .value_dim = 7});
    heed_test::check_refused<heed::shape_error>(
        "the cache has heads, key and value dimensions [1, 11, 7], but make_cache of this layer "
        "has [1, 11, 7] with values in keys",
        [&] { mla.prefill(x, plain); });
    heed::kv_cache<float> forgets(
        {.batch = 2, .dim = 11, .value_dim = 7, .window = 8, .values_in_keys = true});
    const char* const window =
        "the cache has a window of 8, but latent attention sees all tokens: it must be "
        "heed::unlimited";
    heed_test::check_refused<heed::argument_error>(window, [&] { mla.prefill(x, forgets); });
    heed_test::check_refused<heed::argument_error>(window, [&] { mla.decode(x, forgets); });
    CHECK(forgets.length(0) == 0);
    CHECK_THROWS_AS(mla.decode(random.tensor<float>(1, 2, 9), cache), heed::shape_error);
    CHECK(cache.length(0) == 0);
    CHECK_THROWS_AS(mla.make_cache<float>({.batch = 0}), heed::argument_error);
}

}  // namespace test_latent
