#include <array>
#include <limits>
#include <type_traits>

#include <heed/attention/attention.hpp>
#include <heed/attention/split_heads.hpp>

#include "attention/problem.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_split_heads {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

template <int Order>
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Order>;

TEMPLATE_TEST_CASE_SIG("heads of a matrix, or of some of its columns", "", ((int Order), Order),
                       Eigen::RowMajor, Eigen::ColMajor) {
    generator random(171);
    matrix<Order> x = random.matrix<float, Order>(5, 12);
    const auto is = [](const auto& heads, const auto& columns, index dim) {
        bool same =
            heads.extents == std::array<index, 3>{columns.cols() / dim, columns.rows(), dim};
        for (index h = 0; same && h < heads.extents[0]; ++h)
            for (index i = 0; i < heads.extents[1]; ++i)
                for (index c = 0; c < dim; ++c)
                    same = same && &heads(h, i, c) == &columns.coeffRef(i, h * dim + c);
        return same;
    };
    CHECK(is(heed::split_heads(x, 3), x, 4));
    CHECK(is(heed::split_heads(x, 12U), x, 1));
    auto third = x.middleCols(4, 4);
    CHECK(is(heed::split_heads(third, 2), third, 2));
    CHECK(is(heed::split_heads(x.middleCols(4, 4), 2), third, 2));  // a block is a view itself
    CHECK(is(heed::split_heads(x, 2, 4, 2), third, 2));
    auto last = x.rightCols(3);
    CHECK(is(heed::split_heads(x, 1, std::size_t(9), 3), last, 3));
    Eigen::Map<matrix<Order>, 0, Eigen::OuterStride<>> map(x.data(), Order == 1 ? 5 : 3, 2,
                                                           Eigen::OuterStride<>(x.outerStride()));
    CHECK(is(heed::split_heads(map, 2), map, 1));

    const matrix<Order>& fixed = x;
    STATIC_REQUIRE(std::is_same_v<decltype(heed::split_heads(x, 2)), heed::tensor_view<float, 3>>);
    STATIC_REQUIRE(
        std::is_same_v<decltype(heed::split_heads(fixed, 2)), heed::tensor_view<const float, 3>>);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::split_heads(fixed.leftCols(2), 2)),
                                  heed::tensor_view<const float, 3>>);
    heed::split_heads(x, 3)(2, 1, 3) = 42;
    CHECK(x(1, 11) == 42);
}

TEMPLATE_TEST_CASE_SIG("heads of a batch", "", ((int Order), Order), Eigen::RowMajor,
                       Eigen::ColMajor) {
    Eigen::Tensor<double, 3, Eigen::RowMajor> filled(2, 5, 12);
    generator random(172);
    random.fill_normal(filled);
    Eigen::Tensor<double, 3, Order> x(2, 5, 12);
    for (index b = 0; b < 2; ++b)
        for (index i = 0; i < 5; ++i)
            for (index c = 0; c < 12; ++c) x(b, i, c) = filled(b, i, c);
    const auto all = heed::split_heads(x, 3);
    const auto some = heed::split_heads(x, 2, 4, 3);
    const auto seen = heed::split_heads(heed::view(filled.data(), {2, 5, 12}), 3);
    CHECK(all.extents == std::array<index, 4>{2, 3, 5, 4});
    CHECK(some.extents == std::array<index, 4>{2, 2, 5, 3});
    for (index b = 0; b < 2; ++b)
        for (index i = 0; i < 5; ++i)
            for (index c = 0; c < 12; ++c) {
                CHECK(&all(b, c / 4, i, c % 4) == &x(b, i, c));
                CHECK(seen(b, c / 4, i, c % 4) == x(b, i, c));
                if (4 <= c && c < 10) CHECK(&some(b, (c - 4) / 3, i, (c - 4) % 3) == &x(b, i, c));
            }
}

TEST_CASE("attention of packed rows is that of tensors") {
    generator random(173);
    constexpr index batch = 2, heads = 4, kv_heads = 2, tokens = 7, dim = 8;
    const auto qkv = random.tensor<float>(batch, tokens, (heads + 2 * kv_heads) * dim);
    const auto unpacked = [&](index count, index first) {
        tensor4<float> x(batch, count, tokens, dim);
        for (index b = 0; b < batch; ++b)
            for (index h = 0; h < count; ++h)
                for (index i = 0; i < tokens; ++i)
                    for (index c = 0; c < dim; ++c) x(b, h, i, c) = qkv(b, i, first + h * dim + c);
        return x;
    };
    Eigen::Tensor<float, 3, Eigen::RowMajor> out(batch, tokens, heads * dim);
    heed::attention_into(heed::split_heads(out, heads), heed::split_heads(qkv, heads, 0, dim),
                         heed::split_heads(qkv, kv_heads, heads * dim, dim),
                         heed::split_heads(qkv, kv_heads, (heads + kv_heads) * dim, dim));
    const tensor4<float> o = heed::attention(unpacked(heads, 0), unpacked(kv_heads, heads * dim),
                                             unpacked(kv_heads, (heads + kv_heads) * dim));
    for (index b = 0; b < batch; ++b)
        for (index h = 0; h < heads; ++h)
            for (index i = 0; i < tokens; ++i)
                for (index c = 0; c < dim; ++c) CHECK(out(b, i, h * dim + c) == o(b, h, i, c));

    // Axes in the order of other libraries are asked for where they can be told.
    const Eigen::Tensor<float, 4, Eigen::RowMajor> q(2, 7, 4, 8), k(2, 5, 4, 8);
    check_refused<heed::shape_error>(
        "q has 7 heads and k has 5, but those of k must divide those of q; are the axes [batch, "
        "sequence, heads, dim]? heed takes heads first: heed::split_heads or heed::view by "
        "strides",
        [&] { heed::attention(q, k, k); });
}

TEST_CASE("heads that cannot be split off") {
    using heed::argument_error;
    using heed::shape_error;
    const Eigen::MatrixXf x = Eigen::MatrixXf::Zero(5, 12);
    check_refused<shape_error>(
        "heed::split_heads: x has shape [5, 12], but its last axis must be a whole number of 5 "
        "heads",
        [&] { (void)heed::split_heads(x, 5); });
    check_refused<argument_error>("heed::split_heads: there are 0 heads, but must be at least 1",
                                  [&] { (void)heed::split_heads(x, 0); });
    check_refused<argument_error>("heed::split_heads: there are -3 heads, but must be at least 1",
                                  [&] { (void)heed::split_heads(x, -3, 0, 2); });
    check_refused<argument_error>("heed::split_heads: first is -1, but must be at least 0",
                                  [&] { (void)heed::split_heads(x, 3, -1, 2); });
    check_refused<argument_error>("heed::split_heads: dim is -2, but must be at least 0",
                                  [&] { (void)heed::split_heads(x, 3, 0, -2); });
    check_refused<shape_error>(
        "heed::split_heads: x has shape [5, 12], but its last axis must hold 3 heads of 4 numbers "
        "from column 1 on",
        [&] { (void)heed::split_heads(x, 3, 1, 4); });
    CHECK_THROWS_AS(heed::split_heads(x, std::numeric_limits<index>::max(), 0, 4), shape_error);
    CHECK_THROWS_AS(heed::split_heads(x, 1, 0, std::numeric_limits<index>::max()), shape_error);
    CHECK_THROWS_AS(heed::split_heads(x, 1, std::numeric_limits<std::size_t>::max(), 4),
                    shape_error);
    CHECK_THROWS_AS(heed::split_heads(x, std::numeric_limits<std::size_t>::max()), argument_error);
    check_refused<shape_error>(
        "heed::split_heads: x has shape [-5, 12], but extents must not be negative", [&] {
            (void)heed::split_heads(heed::view(x.data(), {-5, 12}), 3);
        });
    const Eigen::MatrixXf empty(0, 0);
    CHECK(heed::split_heads(empty, 3).extents == std::array<index, 3>{3, 0, 0});
}

}  // namespace test_split_heads
