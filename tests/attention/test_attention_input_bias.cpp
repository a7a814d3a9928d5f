#include <tuple>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/rope/rotary.hpp>

#include "attention/reference_check.hpp"
#include "attention/refusals.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_input_bias {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// [1, heads, 1, dim], the same row for every head if there is but one.
reference::tensor spread(const reference::tensor& rows, index heads) {
    reference::tensor bias(1, heads, 1, rows.columns());
    for_each_row(bias, [&](index, index h, index) {
        for (index c = 0; c < rows.columns(); ++c)
            bias(0, h, 0, c) = rows(0, 0, rows.rows() == 1 ? 0 : h, c);
    });
    return bias;
}

/// The rows as a matrix of T.
template <class T, int Order>
auto to_matrix(const reference::tensor& rows) {
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order> matrix(rows.rows(), rows.columns());
    for (index r = 0; r < rows.rows(); ++r)
        for (index c = 0; c < rows.columns(); ++c) matrix(r, c) = static_cast<T>(rows(0, 0, r, c));
    return matrix;
}

TEST_CASE("biases of q and k, of each head or of all") {
    for_problems(111, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const auto a = random_numbers(random, 1, 1, random.chance(0.5) ? 1 : e.heads, e.dim);
        const auto b = random_numbers(random, 1, 1, random.chance(0.5) ? 1 : e.kv_heads, e.dim);
        reference::options how;
        how.query_bias = spread(a, e.heads);
        how.key_bias = spread(b, e.kv_heads);
        const auto a32 = to_matrix<float, Eigen::RowMajor>(a);
        const auto b32 = to_matrix<float, Eigen::ColMajor>(b);
        check_against_reference<float>(from, how, heed::key_bias(b32), heed::query_bias(a32));
        how.key_bias = {};
        how.visible = reference::causal(e.queries, e.keys);
        check_against_reference<float>(from, how, heed::query_bias(a32), heed::causal);
    });
}

TEST_CASE("biases come before norms and rotation") {
    for_problems(112, [](generator& random, const problem& drawn) {
        problem from = drawn;
        from.sizes.dim = 8;
        const extents& e = from.sizes;
        from.q = random_numbers(random, e.batch, e.heads, e.queries, e.dim);
        from.k = random_numbers(random, e.batch, e.kv_heads, e.keys, e.dim);
        from.slack = 2;  // one addition more
        const auto a = random_numbers(random, 1, 1, e.heads, e.dim);
        const auto b = random_numbers(random, 1, 1, e.kv_heads, e.dim);
        reference::options how;
        how.query_bias = spread(a, e.heads);
        how.key_bias = spread(b, e.kv_heads);
        how.normalise_queries = how.normalise_keys = true;
        how.scale = [](index, index, index) { return 3.0; };
        how.rotary = reference::rotation{reference::plain_frequencies(e.dim)};
        const auto a64 = to_matrix<double, Eigen::RowMajor>(a);
        const auto b64 = to_matrix<double, Eigen::RowMajor>(b);
        const auto rope = heed::rope::plain({.dim = e.dim});
        check_against_reference<double>(from, how, heed::query_bias(a64), heed::key_bias(b64),
                                        heed::cosine.scale(3), heed::rotary(rope));
        inputs<double> in(from);
        check_differences(random, in, heed::query_bias(a64), heed::key_bias(b64),
                          heed::cosine.scale(3), heed::rotary(rope));
    });
}

/// A bias's rows of the gradient that the reference found for every head.
reference::tensor gather(const reference::tensor& of_heads, const reference::tensor& like) {
    auto sum = zeros_like(like);
    for_each_row(of_heads, [&](index b, index h, index i) {
        for (index c = 0; c < like.columns(); ++c)
            sum(0, 0, like.rows() == 1 ? 0 : h, c) += of_heads(b, h, i, c);
    });
    return sum;
}

TEST_CASE("learned biases of q and k") {
    for_problems(115, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        const auto a = random_numbers(random, 1, 1, random.chance(0.5) ? 1 : e.heads, e.dim);
        const auto b = random_numbers(random, 1, 1, random.chance(0.5) ? 1 : e.kv_heads, e.dim);
        reference::options how;
        how.query_bias = spread(a, e.heads);
        how.key_bias = spread(b, e.kv_heads);
        const auto a32 = to_matrix<float, Eigen::RowMajor>(a);
        const auto b32 = to_matrix<float, Eigen::RowMajor>(b);
        const auto result = check_against_reference<float>(
            from, how, heed::learn(heed::query_bias(a32)), heed::learn(heed::key_bias(b32)));
        check_within<float>("da", to_reference(result.gradient.template of<0>(), a),
                            gather(result.exact_gradient.query_bias, a),
                            gather(result.bounds.q, a));
        check_within<float>("db", to_reference(result.gradient.template of<1>(), b),
                            gather(result.exact_gradient.key_bias, b), gather(result.bounds.k, b));

        // Norms and rotation stand between, and by differences.
        if (e.dim % 2 != 0) return;
        auto a64 = to_matrix<double, Eigen::ColMajor>(a);
        auto b64 = to_matrix<double, Eigen::RowMajor>(b);
        const auto rope = heed::rope::plain({.dim = e.dim});
        const auto learned_a = heed::learn(heed::query_bias(a64));
        const auto learned_b = heed::learn(heed::key_bias(b64));
        const auto scale = heed::cosine.scale(3);
        inputs<double> in(from);
        const auto gradient =
            check_differences(random, in, learned_a, learned_b, scale, heed::rotary(rope));
        const auto loss = [&] {
            return loss_of(in, learned_a, learned_b, scale, heed::rotary(rope));
        };
        check_slopes("da by differences", random, 8, a64, gradient.template of<0>(), loss,
                     largest_of(gradient));
        check_slopes("db by differences", random, 8, b64, gradient.template of<1>(), loss,
                     largest_of(gradient));
    });
}

TEST_CASE("the gradient of a bias is of its kind") {
    generator random(116);
    const inputs<float> in(problem(random, {2, 4, 2, 9, 12, 8, 5}));
    Eigen::VectorXf a(8);
    Eigen::Tensor<float, 1> b(8);
    random.fill_normal(a);
    random.fill_normal(b);
    const auto parts =
        std::make_tuple(heed::learn(heed::query_bias(a)), heed::learn(heed::key_bias(b)));
    const auto& [of_a, of_b] = parts;
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, of_a, of_b);
    const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, of_a, of_b);
    STATIC_REQUIRE(
        std::is_same_v<std::remove_cvref_t<decltype(gradient.of<1>())>, Eigen::Tensor<float, 1>>);
    REQUIRE((gradient.of<0>().rows() == 8 && gradient.of<0>().cols() == 1));
    for (index c = 0; c < 8; ++c) {
        double da = 0, db = 0;
        for (index batch = 0; batch < 2; ++batch) {
            for (index head = 0; head < 4; ++head)
                for (index i = 0; i < 9; ++i) da += double(gradient.q(batch, head, i, c));
            for (index head = 0; head < 2; ++head)
                for (index j = 0; j < 12; ++j) db += double(gradient.k(batch, head, j, c));
        }
        CHECK(double(gradient.of<0>()(c, 0)) == Approx(da).epsilon(1e-6));
        CHECK(double(gradient.of<1>()(c)) == Approx(db).epsilon(1e-6));
    }
}

TEST_CASE("the gradients of biases have the same bits for any number of threads") {
    generator random(117);
    const inputs<float> in(problem(random, {1, 4, 4, 900, 40, 53, 16}));  // dq is worth sharing
    Eigen::VectorXf for_all(53);
    Eigen::MatrixXf for_each(4, 53);
    random.fill_normal(for_all);
    random.fill_normal(for_each);
    const auto out = heed::attention_forward(in.q, in.k, in.v, heed::query_bias(for_all));
    for (const int threads : {1, 5}) {
        Eigen::ThreadPool pool(threads);
        const auto gradients = [&](const auto& bias, const auto&... on) {
            return heed::attention_backward(in.d_o, out.output, out.stats, in.q, in.k, in.v,
                                            heed::learn(heed::query_bias(bias)), on...);
        };
        const auto check = [&](const auto& bias) {
            const auto alone = gradients(bias), shared = gradients(bias, always_on(pool));
            CHECK(same_bits(alone.q, shared.q));
            CHECK(alone.template of<0>() == shared.template of<0>());
        };
        check(for_all);
        check(for_each);
    }
}

TEST_CASE("a vector of any kind serves all heads") {
    generator random(113);
    const inputs<float> in(problem(random, {2, 4, 2, 9, 12, 8, 5}));
    Eigen::VectorXf column(8);
    random.fill_normal(column);
    const Eigen::RowVectorXf row = column.transpose();
    const Eigen::Tensor<float, 1> tensor =
        Eigen::TensorMap<Eigen::Tensor<float, 1>>(column.data(), 8);
    const auto expected = heed::attention(in.q, in.k, in.v, heed::query_bias(row));
    CHECK(same_bits(expected, heed::attention(in.q, in.k, in.v, heed::query_bias(column))));
    CHECK(same_bits(expected, heed::attention(in.q, in.k, in.v, heed::query_bias(tensor))));
    CHECK(same_bits(expected, heed::attention(in.q, in.k, in.v, heed::query_bias(2 * row - row))));
}

TEST_CASE("biases of q and k refuse what does not fit") {
    const extents& e = refused_sizes;
    generator random(114);
    const inputs<float> in(problem(random, e));
    const Eigen::MatrixXf three = Eigen::MatrixXf::Zero(3, e.dim);
    const Eigen::MatrixXf wide = Eigen::MatrixXf::Zero(1, e.dim + 1);
    outputs out(e);
    check_refused<heed::shape_error>(
        "heed::query_bias has shape [3, 4], but must have 1 row or 4, one for each query head, of "
        "4",
        [&] { heed::attention_into(out.o, in.q, in.k, in.v, heed::query_bias(three)); });
    check_refused<heed::shape_error>(
        "heed::key_bias has shape [1, 5], but must have 1 row or 2, one for each head of k, of 4",
        [&] { heed::attention_into(out.o, in.q, in.k, in.v, heed::key_bias(wide)); });
    CHECK(out.are_untouched());
}

}  // namespace test_attention_input_bias
