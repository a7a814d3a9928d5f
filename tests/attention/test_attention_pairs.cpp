#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/sigmoid.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// bfloat16 tensors, whose pairs some machines multiply: errors, and bits that depend on nothing
/// but the row. All of it holds on the others too.

namespace test_attention_pairs {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one
using number = Eigen::bfloat16;
using tensor = tensor4<number>;

/// q, k and v of normal numbers, and the same as the reference takes them.
struct stored_problem {
    problem exact;
    tensor q, k, v;

    stored_problem(generator& random, const extents& e)
        : exact(random, e), q(store(exact.q)), k(store(exact.k)), v(store(exact.v)) {}

    static tensor store(reference::tensor& x) {
        tensor result(x.batches(), x.heads(), x.rows(), x.columns());
        for (std::size_t e = 0; e < x.values.size(); ++e) {
            result.data()[e] = static_cast<number>(static_cast<float>(x.values[e]));
            x.values[e] = static_cast<double>(static_cast<float>(result.data()[e]));
        }
        return result;
    }
};

/// Root mean square of the error, over that of what is right.
template <class Right>
double error_of(const tensor& o, const Right* right) {
    double error = 0, size = 0;
    for (index e = 0; e < o.size(); ++e) {
        const auto exact = static_cast<double>(right[e]);
        error += std::pow(static_cast<double>(static_cast<float>(o.data()[e])) - exact, 2);
        size += exact * exact;
    }
    return std::sqrt(error / size);
}
constexpr double promised = 4e-3;

TEST_CASE("bfloat16 attention is the reference's of what is stored, within 4e-3") {
    generator random(9501);
    const auto check = [&](const extents& e, const reference::options& how, const auto&... parts) {
        INFO(to_string(e));
        const stored_problem in(random, e);
        const auto right = reference::attention_forward(in.exact.q, in.exact.k, in.exact.v, how);
        const tensor o = heed::attention(in.q, in.k, in.v, parts...);
        CHECK(error_of(o, right.o.values.data()) < promised);
    };
    for (const index dim : {1, 5, 33, 64}) check({2, 2, 1, 29, 301, dim, 33}, {});
    reference::options how;
    how.visible = reference::causal(67, 67);
    how.modifiers = {reference::soft_cap(2)};
    check({1, 2, 2, 67, 67, 31, 80}, how, heed::causal, heed::soft_cap(2));
}

TEST_CASE("bfloat16 attention with lane masks and other normalisers is near that of floats") {
    generator random(9502);
    const stored_problem in(random, {1, 2, 2, 37, 523, 24, 17});
    const auto check = [&](const auto&... parts) {
        const tensor4<float> q = in.q.cast<float>(), k = in.k.cast<float>(), v = in.v.cast<float>();
        const auto right = heed::attention(q, k, v, parts...);
        CHECK(error_of(heed::attention(in.q, in.k, in.v, parts...), right.data()) < promised);
    };
    const auto thirds = heed::mask([](auto i, auto j) { return (i + j) * (i - j) > 7 * j; });
    check(thirds, heed::l2_softmax);
    check(heed::sigmoid);
}

TEST_CASE("the bits of a row of bfloat16: any chunk, batch and threads") {
    generator random(9503);
    const stored_problem in(random, {2, 4, 2, 61, 301, 19, 33});
    const auto o = heed::attention(in.q, in.k, in.v, heed::causal);
    Eigen::ThreadPool pool(3);
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, heed::causal, always_on(pool)), o));
    const auto [output, stats, entropy] =
        heed::attention_forward(in.q, in.k, in.v, heed::causal, heed::row_entropy);
    CHECK(same_bits(output, o));
    const auto last_rows = [](const tensor& x, index batch, index count) -> tensor {
        const index rows = x.dimension(2);
        return x.slice(Eigen::array<index, 4>{batch, 0, rows - count, 0},
                       Eigen::array<index, 4>{1, x.dimension(1), count, x.dimension(3)});
    };
    const tensor k = last_rows(in.k, 1, 301), v = last_rows(in.v, 1, 301);
    for (const index count : {1, 2, 11, 30, 61}) {
        INFO(count << " queries of sequence 1 alone");
        CHECK(same_bits(heed::attention(last_rows(in.q, 1, count), k, v, heed::causal),
                        last_rows(o, 1, count)));
    }
}

TEST_CASE("NaN of bfloat16 stays where it is seen") {
    const number nan(std::numeric_limits<float>::quiet_NaN());
    generator random(9504);
    const stored_problem in(random, {1, 1, 1, 41, 41, 9, 17});

    // Beyond a length that is odd, beside the last key that counts.
    const auto first = heed::key_lengths({37});
    const auto clean = heed::attention(in.q, in.k, in.v, first);
    tensor k = in.k, v = in.v;
    for (index j = 37; j < 41; ++j) {
        for (index c = 0; c < 9; ++c) k(0, 0, j, c) = nan;
        for (index c = 0; c < 17; ++c) v(0, 0, j, c) = nan;
    }
    CHECK(same_bits(heed::attention(in.q, k, v, first), clean));

    // In one value: rows before it keep their bits.
    const auto causal = heed::attention(in.q, in.k, in.v, heed::causal);
    for (const index j : {22, 23}) {
        v = in.v;
        v(0, 0, j, 3) = nan;
        const auto o = heed::attention(in.q, in.k, v, heed::causal);
        const auto row_size = static_cast<std::size_t>(j * 17) * sizeof(number);
        CHECK(std::memcmp(o.data(), causal.data(), row_size) == 0);
        for (index i = j; i < 41; ++i)
            for (index c = 0; c < 17; ++c)
                CHECK(std::isnan(static_cast<float>(o(0, 0, i, c))) == (c == 3));
    }

    // In memory that is used again, where an odd last key has no partner.
    heed::workspace memory;
    tensor all(1, 1, 64, 17);
    all.setConstant(nan);
    const auto lost = heed::attention(all, all, all, heed::in(memory));
    CHECK(std::isnan(static_cast<float>(lost(0, 0, 0, 0))));
    CHECK(same_bits(heed::attention(in.q, in.k, in.v, heed::causal, heed::in(memory)), causal));
}

TEST_CASE("values near the largest bfloat16 have finite means") {
    generator random(9505);
    stored_problem in(random, {1, 1, 1, 13, 300, 16, 5});
    in.v.setConstant(number(3e38F));
    const auto o = heed::attention(in.q, in.k, in.v);
    for (index e = 0; e < o.size(); ++e)
        CHECK(std::fabs(static_cast<float>(o.data()[e]) / 3e38F - 1) < 8e-3F);
    const tensor no_keys(1, 1, 0, 16), no_values(1, 1, 0, 5);
    const auto nothing = heed::attention(in.q, no_keys, no_values);
    for (index e = 0; e < nothing.size(); ++e) CHECK(static_cast<float>(nothing.data()[e]) == 0);
}

}  // namespace test_attention_pairs
