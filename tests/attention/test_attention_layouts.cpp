#include <array>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/attention.hpp>
#include <heed/attention/attention_weights.hpp>
#include <heed/attention/masks/causal.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_attention_layouts {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// The elements of any object heed takes, in row-major order.
template <class X>
auto elements(const X& x) {
    const auto all = heed::detail::rank4(heed::detail::evaluate(x).view());
    std::vector<heed::scalar_of<X>> result;
    for (index b = 0; b < all.extents[0]; ++b)
        for (index h = 0; h < all.extents[1]; ++h)
            for (index i = 0; i < all.extents[2]; ++i)
                for (index c = 0; c < all.extents[3]; ++c) result.push_back(all(b, h, i, c));
    return result;
}

template <class X, class T>
void assign(X&& x, const std::vector<T>& values) {
    const auto all = heed::detail::rank4(heed::detail::view_of(std::forward<X>(x)));
    std::size_t at = 0;
    for (index b = 0; b < all.extents[0]; ++b)
        for (index h = 0; h < all.extents[1]; ++h)
            for (index i = 0; i < all.extents[2]; ++i)
                for (index c = 0; c < all.extents[3]; ++c) all(b, h, i, c) = values[at++];
}

/// What the plain rank-4 row-major call gives, element by element.
template <class T>
struct expected_results {
    std::vector<T> o, dq, dk, dv;

    explicit expected_results(const inputs<T>& in) {
        const auto forward = heed::attention_forward(in.q, in.k, in.v, heed::causal);
        const auto gradient = heed::attention_backward(in.d_o, forward.output, forward.stats, in.q,
                                                       in.k, in.v, heed::causal);
        o = elements(forward.output);
        dq = elements(gradient.q);
        dk = elements(gradient.k);
        dv = elements(gradient.v);
    }
};

/// Objects with the problem's numbers give its bits, as values and into objects of the same kinds.
template <class T, class Q, class K, class V, class O>
void check_layout(const expected_results<T>& expected, const Q& q, const K& k, const V& v,
                  const O& d_o, Q& dq, K& dk, V& dv, O& o) {
    const auto forward = heed::attention_forward(q, k, v, heed::causal);
    CHECK(elements(forward.output) == expected.o);
    const auto gradient =
        heed::attention_backward(d_o, forward.output, forward.stats, q, k, v, heed::causal);
    CHECK(elements(gradient.q) == expected.dq);
    CHECK(elements(gradient.k) == expected.dk);
    CHECK(elements(gradient.v) == expected.dv);

    heed::attention_into(o, q, k, v, heed::causal);
    CHECK(elements(o) == expected.o);
    heed::attention_backward_into(heed::into(dq, dk, dv), d_o, o, forward.stats, q, k, v,
                                  heed::causal);
    CHECK(elements(dq) == expected.dq);
    CHECK(elements(dk) == expected.dk);
    CHECK(elements(dv) == expected.dv);
}

template <class X, class... Extents>
X filled(const std::vector<typename X::Scalar>& values, Extents... extents) {
    X x(extents...);
    assign(x, values);
    return x;
}

template <class Matrix, class T>
void check_matrices(const extents& e, const inputs<T>& in) {
    const expected_results<T> expected(in);
    const auto q = filled<Matrix>(elements(in.q), e.queries, e.dim);
    const auto k = filled<Matrix>(elements(in.k), e.keys, e.dim);
    const auto v = filled<Matrix>(elements(in.v), e.keys, e.value_dim);
    const auto d_o = filled<Matrix>(elements(in.d_o), e.queries, e.value_dim);
    Matrix dq(e.queries, e.dim), dk(e.keys, e.dim), dv(e.keys, e.value_dim),
        o(e.queries, e.value_dim);
    check_layout<T>(expected, q, k, v, d_o, dq, dk, dv, o);
    STATIC_REQUIRE(std::is_same_v<decltype(heed::attention(q, k, v)), Matrix>);
}

TEMPLATE_TEST_CASE("matrices and arrays of either storage order", "", HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(71);
    for (int round = 0; round < 4; ++round) {
        extents e = random_extents(random);
        e.batch = e.heads = e.kv_heads = 1;
        const inputs<T> in(random, e);
        INFO(to_string(e));
        check_matrices<Eigen::Matrix<T, -1, -1, Eigen::RowMajor>>(e, in);
        check_matrices<Eigen::Matrix<T, -1, -1>>(e, in);
        check_matrices<Eigen::Array<T, -1, -1>>(e, in);
    }
}

TEST_CASE("maps, references, blocks and expressions") {
    generator random(72);
    for (int round = 0; round < 6; ++round) {
        extents e = random_extents(random);
        e.batch = e.heads = e.kv_heads = 1;
        const inputs<float> in(random, e);
        const expected_results<float> expected(in);
        INFO(to_string(e));
        using matrix = Eigen::MatrixXf;
        const matrix q = filled<matrix>(elements(in.q), e.queries, e.dim);
        const matrix k = filled<matrix>(elements(in.k), e.keys, e.dim);
        const matrix v = filled<matrix>(elements(in.v), e.keys, e.value_dim);

        // A part of a larger matrix, whose other elements must stay.
        matrix large = matrix::Constant(e.queries + 5, e.value_dim + 7, 3);
        heed::attention_into(large.block(2, 3, e.queries, e.value_dim), q, k, v, heed::causal);
        CHECK(elements(large.block(2, 3, e.queries, e.value_dim)) == expected.o);
        large.block(2, 3, e.queries, e.value_dim).setConstant(3);
        CHECK((large.array() == 3).all());

        // Every second row and every third column, backwards in memory order.
        std::vector<float> memory(static_cast<std::size_t>(6 * e.queries * e.dim + 64), 9.F);
        using strides = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
        Eigen::Map<matrix, 0, strides> map(memory.data(), e.queries, e.dim,
                                           strides(2 * e.queries * 3, 2));
        map = q;
        const Eigen::Ref<const matrix> reference(k);
        CHECK(elements(heed::attention(map, reference, v, heed::causal)) == expected.o);
        CHECK(elements(heed::attention(q * 1.F, k.topRows(e.keys), (v.array() * 1.F).matrix(),
                                       heed::causal)) == expected.o);
        STATIC_REQUIRE(std::is_same_v<decltype(heed::attention(map, reference, v)), matrix>);

        // Keys from last to first by a negative stride: the view puts them right again.
        const matrix k_reversed = k.colwise().reverse(), v_reversed = v.colwise().reverse();
        const auto backwards = [](const matrix& x) {
            return heed::view(x.data() + x.rows() - 1, {x.rows(), x.cols()}, {index(-1), x.rows()});
        };
        const auto view = heed::view(q.data(), {e.queries, e.dim}, {index(1), e.queries});
        CHECK(elements(heed::attention(view, backwards(k_reversed), backwards(v_reversed),
                                       heed::causal)) == expected.o);
    }
}

TEST_CASE("tensors of rank 2, 3 and 4, of either storage order, and maps of them") {
    generator random(73);
    for (int round = 0; round < 5; ++round) {
        extents e = random_extents(random);
        const inputs<float> in(random, e);
        {
            const expected_results<float> expected(in);
            using tensor = Eigen::Tensor<float, 4>;  // column-major
            const auto q = filled<tensor>(elements(in.q), e.batch, e.heads, e.queries, e.dim);
            const auto k = filled<tensor>(elements(in.k), e.batch, e.kv_heads, e.keys, e.dim);
            const auto v = filled<tensor>(elements(in.v), e.batch, e.kv_heads, e.keys, e.value_dim);
            const auto d_o =
                filled<tensor>(elements(in.d_o), e.batch, e.heads, e.queries, e.value_dim);
            tensor dq(q.dimensions()), dk(k.dimensions()), dv(v.dimensions()), o(d_o.dimensions());
            check_layout<float>(expected, q, k, v, d_o, dq, dk, dv, o);
            STATIC_REQUIRE(std::is_same_v<decltype(heed::attention(q, k, v)), tensor>);

            const Eigen::TensorMap<const tensor> map(q.data(), q.dimensions());
            CHECK(elements(heed::attention(map, k, v, heed::causal)) == expected.o);
            CHECK(elements(heed::attention(q + q.constant(0), k, v, heed::causal)) == expected.o);
        }
        e.batch = 1;
        const inputs<float> one(random, e);
        {
            const expected_results<float> expected(one);
            using tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;
            const auto q = filled<tensor>(elements(one.q), e.heads, e.queries, e.dim);
            const auto k = filled<tensor>(elements(one.k), e.kv_heads, e.keys, e.dim);
            const auto v = filled<tensor>(elements(one.v), e.kv_heads, e.keys, e.value_dim);
            const auto d_o = filled<tensor>(elements(one.d_o), e.heads, e.queries, e.value_dim);
            tensor dq(q.dimensions()), dk(k.dimensions()), dv(v.dimensions()), o(d_o.dimensions());
            check_layout<float>(expected, q, k, v, d_o, dq, dk, dv, o);
        }
        e.heads = e.kv_heads = 1;
        const inputs<float> single(random, e);
        const expected_results<float> expected(single);
        using tensor = Eigen::Tensor<float, 2>;
        const auto q = filled<tensor>(elements(single.q), e.queries, e.dim);
        const auto k = filled<tensor>(elements(single.k), e.keys, e.dim);
        const auto v = filled<tensor>(elements(single.v), e.keys, e.value_dim);
        const auto d_o = filled<tensor>(elements(single.d_o), e.queries, e.value_dim);
        tensor dq(q.dimensions()), dk(k.dimensions()), dv(v.dimensions()), o(d_o.dimensions());
        check_layout<float>(expected, q, k, v, d_o, dq, dk, dv, o);
    }
}

TEST_CASE("batch, sequence, 3, heads, dim: inputs and gradients interleaved, without a copy") {
    generator random(74);
    for (int round = 0; round < 5; ++round) {
        extents e = random_extents(random);
        e.kv_heads = e.heads;
        e.keys = e.queries;
        e.value_dim = e.dim;
        const inputs<float> in(random, e);
        const expected_results<float> expected(in);
        INFO(to_string(e));
        const index row = 3 * e.heads * e.dim;
        const auto third = [&](std::vector<float>& memory, index n) {
            return heed::view(memory.data() + n * e.heads * e.dim,
                              {e.batch, e.heads, e.queries, e.dim},
                              {e.queries * row, e.dim, row, index(1)});
        };
        std::vector<float> qkv(static_cast<std::size_t>(e.batch * e.queries * row));
        std::vector<float> gradients(qkv.size(), 5.F);
        const auto q = third(qkv, 0), k = third(qkv, 1), v = third(qkv, 2);
        assign(q, elements(in.q));
        assign(k, elements(in.k));
        assign(v, elements(in.v));
        const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal);
        CHECK(elements(o) == expected.o);
        heed::attention_backward_into(
            heed::into(third(gradients, 0), third(gradients, 1), third(gradients, 2)), in.d_o, o,
            stats, q, k, v, heed::causal);
        CHECK(elements(third(gradients, 0)) == expected.dq);
        CHECK(elements(third(gradients, 1)) == expected.dk);
        CHECK(elements(third(gradients, 2)) == expected.dv);
        // o beside its inputs in the same memory: [batch, sequence, heads, 4, dim] would do too.
        std::vector<float> wide(static_cast<std::size_t>(e.batch * e.heads * e.queries * 2 * e.dim),
                                8.F);
        const std::array<index, 4> shape{e.batch, e.heads, e.queries, e.dim};
        const std::array<index, 4> strides{e.heads * e.queries * 2 * e.dim, e.queries * 2 * e.dim,
                                           2 * e.dim, 1};
        const auto beside_q = heed::view(wide.data(), shape, strides);
        assign(beside_q, elements(in.q));
        heed::attention_into(heed::view(wide.data() + e.dim, shape, strides), beside_q, k, v,
                             heed::causal);
        CHECK(elements(heed::view(wide.data() + e.dim, shape, strides)) == expected.o);
        CHECK(elements(beside_q) == elements(in.q));
    }
}

}  // namespace test_attention_layouts
