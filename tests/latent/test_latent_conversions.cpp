// Attention with grouped heads as latent attention: exactly, and of a smaller rank with the error
// that is told.

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <Eigen/Core>

#include <heed/measure/detail/singular_values.hpp>

#include "latent_problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"
#include "support/latent_kernels.hpp"
#include "support/refused.hpp"

namespace test_latent {

using heed::argument_error;
using heed::shape_error;
using heed_test::check_refused;

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A random layer of attention with grouped heads.
template <class T>
struct grouped_problem {
    heed::grouped_options sizes;
    std::optional<heed::rope::frequencies> rope;
    matrix<T> q, k, v, o;
    Eigen::Matrix<T, Eigen::Dynamic, 1> k_bias, v_bias, o_bias;  // empty: none
    matrix<T> x;

    grouped_problem(heed_test::generator& random, const heed::grouped_options& of,
                    const std::optional<heed::rope::frequencies>& frequencies, bool is_biased)
        : sizes(of), rope(frequencies) {
        const index model = 13, heads = of.heads.value, groups = of.kv_heads.value;
        const auto weight = [&](index outputs, index inputs) {
            return matrix<T>(random.matrix<T>(outputs, inputs) /
                             static_cast<T>(std::sqrt(static_cast<double>(inputs))));
        };
        q = weight(heads * of.dim.value, model);
        k = weight(groups * of.dim.value, model);
        v = weight(groups * of.value.value, model);
        o = weight(7, heads * of.value.value);
        if (is_biased) {
            k_bias = random.matrix<T>(k.rows(), 1);
            v_bias = random.matrix<T>(v.rows(), 1);
            o_bias = random.matrix<T>(o.rows(), 1);
        }
        x = random.matrix<T>(19, model);
    }

    heed::grouped_weights<T> weights() const {
        heed::grouped_weights<T> all;
        all.q_proj = q, all.k_proj = k, all.v_proj = v, all.o_proj = o;
        if (k_bias.size() > 0) all.k_proj_bias = k_bias;
        if (v_bias.size() > 0) all.v_proj_bias = v_bias;
        if (o_bias.size() > 0) all.o_proj_bias = o_bias;
        return all;
    }
    heed::converted_latent<T> exact() const {
        return rope ? heed::latent_from_grouped(weights(), sizes, *rope)
                    : heed::latent_from_grouped(weights(), sizes);
    }
    heed::converted_latent<T> of_rank(index rank) const {
        return rope ? heed::latent_from_heads(weights(), sizes, rank, *rope)
                    : heed::latent_from_heads(weights(), sizes, rank);
    }

    /// y by the reference: causal attention with grouped heads between projections.
    reference::matrix expected() const {
        namespace ref = reference;
        const auto rows = rows_of_matrix(x);
        const auto heads_of = [&](const matrix<T>& w, const auto& bias, index heads, index count) {
            return ref::detail::heads_of(ref::project(rows, rows_of_matrix(w), row_of(bias)), heads,
                                         count, 0, count);
        };
        const Eigen::Matrix<T, Eigen::Dynamic, 1> none;
        ref::options how;
        how.visible = ref::causal(x.rows(), x.rows());
        if (rope)
            how.rotary = ref::rotation{rope->angular(), rope->layout() == heed::rope::interleaved,
                                       rope->attention_factor()};
        const index heads = sizes.heads.value, groups = sizes.kv_heads.value;
        const index value = sizes.value.value;
        const auto all = ref::attention_forward(heads_of(q, none, heads, sizes.dim.value),
                                                heads_of(k, k_bias, groups, sizes.dim.value),
                                                heads_of(v, v_bias, groups, value), how)
                             .o;
        ref::matrix side_by_side(rows.size(), ref::row(static_cast<std::size_t>(heads * value)));
        for (index h = 0; h < heads; ++h)
            for (index i = 0; i < x.rows(); ++i)
                for (index e = 0; e < value; ++e)
                    side_by_side[static_cast<std::size_t>(i)]
                                [static_cast<std::size_t>(h * value + e)] = all(0, h, i, e);
        return ref::project(side_by_side, rows_of_matrix(o), row_of(o_bias));
    }
};

template <class Y>
double relative_error(const Y& y, const reference::matrix& right) {
    double error = 0, size = 0;
    for (index i = 0; i < y.rows(); ++i)
        for (index c = 0; c < y.cols(); ++c) {
            const double r = right[static_cast<std::size_t>(i)][static_cast<std::size_t>(c)];
            error += std::pow(static_cast<double>(y(i, c)) - r, 2);
            size += r * r;
        }
    return std::sqrt(error / size);
}

/// Multi-head, grouped and multi-query attention; heads that turn nowhere, in part, and all over.
template <class T>
std::vector<grouped_problem<T>> problems(heed_test::generator& random) {
    const auto plain = heed::rope::plain({.dim = 6});
    const auto pairs = heed::rope::frequencies({1, 0.3}, heed::rope::interleaved, 1.2);
    std::vector<grouped_problem<T>> all;
    all.emplace_back(random, heed::grouped_options{4, 2, 6, 5}, std::nullopt, true);
    all.emplace_back(random, heed::grouped_options{6, 3, 6, 4}, plain, true);
    all.emplace_back(random, heed::grouped_options{2, 2, 7, 3}, pairs, false);
    all.emplace_back(random, heed::grouped_options{3, 1, 11, 1}, plain, false);
    return all;
}

TEMPLATE_TEST_CASE("attention with grouped heads is latent attention", "", HEED_TEST_SCALARS) {
    using T = TestType;
    heed_test::generator random(760);
    const double error = std::is_same_v<T, double> ? 1e-14 : 2e-6;
    for (const auto& from : problems<T>(random)) {
        INFO(from.sizes.heads.value << " heads");
        const auto converted = from.exact();
        const auto mla = converted.attention();
        const auto right = from.expected();
        CHECK(relative_error(mla.forward(from.x).y, right) <= error);
        auto cache = mla.template make_cache<T>();
        CHECK(cache.dim() ==
              from.sizes.kv_heads.value * (from.sizes.dim.value + from.sizes.value.value));
        CHECK(relative_error(mla.decode(from.x, cache), right) <= error);
        CHECK(converted.error == 0);
    }
}

/// What is cached of a token but for what is rotated, made by all of the layer's weights.
Eigen::MatrixXd cached_matrix(const grouped_problem<double>& from) {
    const index rotated = from.rope ? from.rope->dim() : 0, dim = from.sizes.dim.value;
    const index groups = from.sizes.kv_heads.value, content = dim - rotated;
    const index has_bias = from.k_bias.size() > 0 ? 1 : 0;
    Eigen::MatrixXd w(groups * content + from.v.rows(), from.x.cols() + has_bias);
    for (index g = 0; g < groups; ++g) {
        w.block(g * content, 0, content, from.x.cols()) =
            from.k.middleRows(g * dim + rotated, content);
        if (has_bias)
            w.col(from.x.cols()).segment(g * content, content) =
                from.k_bias.segment(g * dim + rotated, content);
    }
    w.bottomLeftCorner(from.v.rows(), from.x.cols()) = from.v;
    if (has_bias) w.col(from.x.cols()).tail(from.v.rows()) = from.v_bias;
    return w;
}

TEST_CASE("latent attention of a smaller rank tells what it lost: the singular values left out") {
    heed_test::generator random(761);
    for (const auto& from : problems<double>(random)) {
        INFO(from.sizes.heads.value << " heads");
        const Eigen::MatrixXd w = cached_matrix(from);
        const auto sigma = heed::detail::singular_values(heed::detail::evaluate(w).view());
        const auto most = static_cast<index>(sigma.size());
        for (const index rank : {index(1), most / 2 + 1, most}) {
            const auto converted = from.of_rank(rank);
            double all = 0, lost = 0;
            for (index j = most; j-- > 0;) {
                all += std::pow(sigma[static_cast<std::size_t>(j)], 2);
                if (j >= rank) lost = all;
            }
            CHECK(std::abs(converted.error - std::sqrt(lost / all)) < 1e-12);

            // And the weights are as far from the layer's as that: a head of each group has all.
            const index value = from.sizes.value.value, groups = from.sizes.kv_heads.value;
            const index content = w.rows() / groups - value;
            const index heads_a_group = from.sizes.heads.value / groups;
            Eigen::MatrixXd expanding(w.rows(), rank), cached(rank, w.cols());
            for (index g = 0; g < groups; ++g) {
                const auto of_head = converted.kv_b_proj.middleRows(
                    g * heads_a_group * (content + value), content + value);
                expanding.middleRows(g * content, content) = of_head.topRows(content);
                expanding.middleRows(groups * content + g * value, value) =
                    of_head.bottomRows(value);
            }
            cached.leftCols(from.x.cols()) = converted.kv_a_proj_with_mqa.topRows(rank);
            if (cached.cols() > from.x.cols())
                cached.col(from.x.cols()) = converted.kv_a_proj_with_mqa_bias.head(rank);
            CHECK(std::abs((w - expanding * cached).norm() / w.norm() - converted.error) < 1e-12);
            CHECK((cached * cached.transpose() - Eigen::MatrixXd::Identity(rank, rank)).norm() <
                  1e-12);
        }
        const auto whole = from.of_rank(most);
        CHECK(whole.error < 1e-14);
        CHECK(relative_error(whole.attention().forward(from.x).y, from.expected()) < 1e-13);
    }
}

TEST_CASE("latent attention of the rank that keys and values have loses nothing") {
    heed_test::generator random(762);
    grouped_problem<float> from(random, {4, 4, 6, 5}, std::nullopt, false);
    const matrix<float> shared = random.matrix<float>(3, from.x.cols());
    from.k = random.matrix<float>(24, 3) * shared;
    from.v = random.matrix<float>(20, 3) * shared;
    const auto converted = from.of_rank(3);
    CHECK(converted.error < 1e-6);
    const auto mla = converted.attention();
    CHECK(mla.make_cache<float>().dim() == 3);
    CHECK(relative_error(mla.forward(from.x).y, from.expected()) < 1e-5);

    from.k.setZero(), from.v.setZero();
    const auto nothing = from.of_rank(2);
    CHECK(nothing.error == 0);
    CHECK(nothing.attention().forward(from.x).y.isZero());
}

TEST_CASE("what cannot become latent attention is refused by name") {
    heed_test::generator random(763);
    const grouped_problem<float> from(random, {4, 2, 6, 5}, std::nullopt, true);
    const auto with = [&](auto&& change) {
        return [&, change] {
            auto weights = from.weights();
            auto sizes = from.sizes;
            change(weights, sizes);
            heed::latent_from_grouped(weights, sizes);
        };
    };
    check_refused<argument_error>(
        "heed::latent_from_grouped: kv_heads is 3 and heads is 4, but it must divide them",
        with([](auto&, auto& sizes) { sizes.kv_heads = 3; }));
    check_refused<argument_error>(
        "heed::latent_from_grouped: dim is 0, but must be at least 1 and below 2^28",
        with([](auto&, auto& sizes) { sizes.dim = 0; }));
    check_refused<argument_error>("heed::latent_from_grouped: v_proj is not given",
                                  with([](auto& w, auto&) { w.v_proj = {}; }));
    check_refused<argument_error>("heed::latent_from_grouped: q_proj is not given",
                                  with([](auto& w, auto&) { w.q_proj = {}; }));
    check_refused<shape_error>(
        "heed::latent_from_grouped: k_proj has shape [24, 13], but must have [12, 13]",
        with([&](auto& w, auto&) { w.k_proj = from.q; }));
    check_refused<shape_error>(
        "heed::latent_from_grouped: v_proj_bias has shape [12], but must have [10]",
        with([&](auto& w, auto&) { w.v_proj_bias = from.k_bias; }));
    check_refused<shape_error>(
        "heed::latent_from_grouped: o_proj has shape [7, 20], but must have [7, 12]",
        with([](auto& w, auto& sizes) {
            sizes.value = 3;
            w.v_proj = {}, w.v_proj_bias = {};
            static const matrix<float> narrow = matrix<float>::Zero(6, 13);
            w.v_proj = narrow;
        }));
    check_refused<shape_error>(
        "heed::latent_from_grouped: rope rotates 8 dimensions, but a head's q and k have 6", [&] {
            heed::latent_from_grouped(from.weights(), from.sizes, heed::rope::plain({.dim = 8}));
        });
    for (const auto refused : {0, 15})
        check_refused<argument_error>(
            "heed::latent_from_heads: rank is " + std::to_string(refused) +
                ", but must be at least 1 and at most 14, that of keys and values as they are",
            [&] { heed::latent_from_heads(from.weights(), from.sizes, refused); });
    auto infinite = from;
    infinite.k(3, 5) = std::numeric_limits<float>::infinity();
    check_refused<argument_error>(
        "heed::latent_from_heads: k_proj and v_proj with their biases must be finite",
        [&] { heed::latent_from_heads(infinite.weights(), infinite.sizes, 2); });
}

}  // namespace test_latent
