#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/cache_lengths.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/scales/gradient_maximising_scale.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>

#include "attention/reference_check.hpp"
#include "support/attention_kernels.hpp"

namespace test_attention_scales {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

/// c_i as a function of how many keys the row sees.
std::function<double(index, index, index)> by_count(const reference::mask& visible, index keys,
                                                    const std::function<double(index)>& scale) {
    return [=](index b, index h, index i) {
        return scale(reference::visible_count(visible, keys, b, h, i));
    };
}

std::function<double(index, index, index)> constant(double c) {
    return [=](index, index, index) { return c; };
}

TEST_CASE("log n scales count the keys that a row sees") {
    for_problems(21, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        std::vector<index> lengths;
        for (index b = 0; b < e.batch; ++b) lengths.push_back(random.integer(0, e.keys));
        reference::options how;
        how.visible = reference::at_own_ends(
            lengths, [&](index keys) { return reference::causal(e.queries, keys); });
        how.scale = by_count(how.visible, e.keys,
                             [&](index n) { return reference::log_n_scale(n, e.dim, 16); });
        check_all(random, from, how, heed::log_n_scale(16), heed::causal,
                  heed::cache_lengths(lengths));

        // Masks that are no intervals are counted lane by lane.
        Eigen::Tensor<bool, 2, Eigen::RowMajor> seen(e.queries, e.keys);
        for (index x = 0; x < seen.size(); ++x) seen.data()[x] = random.chance(0.3);
        how.visible = reference::both(reference::causal_from_start(),
                                      [&](index, index, index i, index j) { return seen(i, j); });
        how.scale = by_count(how.visible, e.keys,
                             [&](index n) { return reference::kappa_scale(n, e.dim, 1.5); });
        check_all(random, from, how, heed::boolean_mask(seen), heed::log_n_scale_kappa(1.5),
                  heed::causal.top_left());

        how.visible = reference::causal(e.queries, e.keys);
        how.scale = by_count(how.visible, e.keys, [&](index n) {
            return reference::log_n_after_training_scale(n, e.dim, 20);
        });
        check_all(random, from, how, heed::log_n_scale_after_training(20), heed::causal);
    });
}

TEST_CASE("norms of keys and queries, and what scales them") {
    for_problems(22, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        reference::options how;
        how.normalise_keys = true;
        how.scale = constant(1);
        check_all(random, from, how, heed::key_norm);
        how.scale = by_count({}, e.keys, [](index n) { return 0.5 * reference::log_count(n); });
        check_all(random, from, how, heed::key_norm.log_n_kappa(0.5));
        how.normalise_queries = true;
        how.scale = constant(4);
        check_all(random, from, how, heed::cosine.scale(4));
        how.normalise_keys = false;
        how.scale =
            by_count({}, e.keys, [](index n) { return reference::log_count(n) / std::log(5.0); });
        check_all(random, from, how, heed::query_norm.log_n(5));
    });
}

TEMPLATE_TEST_CASE("the size of a row of q or k does not matter once it is normalised", "",
                   HEED_TEST_SCALARS) {
    using T = TestType;
    generator random(25);
    inputs<T> in(random, {2, 4, 2, 37, 67, 13, 5}), of_sizes = in;
    const auto cosine = heed::cosine.scale(4);
    const auto of = [&](const inputs<T>& x) {
        auto [o, stats] = heed::attention_forward(x.q, x.k, x.v, cosine);
        auto gradient = heed::attention_backward(
            x.d_o, o, stats, x.q, x.k, x.v, heed::log_sum_exp_gradient(x.d_log_sum_exp), cosine);
        return std::pair(std::move(o), std::move(gradient));
    };
    // A power of two a row: beyond where squares are numbers, at both ends.
    const int most = std::numeric_limits<T>::max_exponent * 5 / 8;
    const auto resize = [&](tensor4<T>& x, const std::vector<int>& exponents, int sign) {
        for (index c = 0; c < x.size(); ++c)
            x.data()[c] = std::ldexp(
                x.data()[c], sign * exponents[static_cast<std::size_t>(c / x.dimension(3))]);
    };
    const auto draw = [&](const tensor4<T>& x) {
        std::vector<int> exponents(static_cast<std::size_t>(x.size() / x.dimension(3)));
        for (int& e : exponents) e = static_cast<int>(random.integer(-most, most));
        return exponents;
    };
    const auto of_q = draw(in.q), of_k = draw(in.k);
    resize(of_sizes.q, of_q, 1);
    resize(of_sizes.k, of_k, 1);
    const auto [o, gradient] = of(in);
    auto [o_of_sizes, gradient_of_sizes] = of(of_sizes);
    CHECK(same_bits(o, o_of_sizes));
    CHECK(same_bits(gradient.v, gradient_of_sizes.v));
    resize(gradient_of_sizes.q, of_q, 1);
    resize(gradient_of_sizes.k, of_k, 1);
    CHECK(same_bits(gradient.q, gradient_of_sizes.q));
    CHECK(same_bits(gradient.k, gradient_of_sizes.k));
}

TEST_CASE("gradient-maximising scales are a constant") {
    generator random(23);
    extents e = random_extents(random);
    e.dim = 8;
    const problem from(random, e);
    reference::options how;
    how.scale = constant(heed::gradient_maximising_alpha(100) / std::sqrt(8.0));
    check_all(random, from, how, heed::gradient_maximising_scale(100));
    how.normalise_queries = how.normalise_keys = true;
    how.scale = constant(heed::gradient_maximising_cosine_alpha(100, 8));
    check_all(random, from, how, heed::gradient_maximising_cosine_scale(100, 8));
}

TEST_CASE("a scale is learned, as a constant or a head") {
    for_problems(24, [](generator& random, const problem& from) {
        const extents& e = from.sizes;
        reference::options how;
        how.visible = reference::causal(e.queries, e.keys);
        how.scale = constant(0.7);
        const auto constant_scale = heed::learn(heed::scale(0.7));
        const auto result = check_against_reference<float>(from, how, heed::causal, constant_scale);
        double sum = 0, bound = 0;
        for (std::size_t h = 0; h < result.bounds.scale_of_head.size(); ++h) {
            sum += result.exact_gradient.scale_of_head[h];
            bound += result.bounds.scale_of_head[h];
        }
        CHECK(std::abs(static_cast<double>(result.gradient.template of<0>()(0)) - sum) <= bound);

        inputs<double> in(from);
        auto gradient = check_differences(random, in, heed::causal, constant_scale);
        Eigen::Matrix<double, 1, 1> c(0.7);
        check_slopes(
            "dc", random, 1, c, gradient.template of<0>(),
            [&] { return loss_of(in, heed::causal, heed::learn(heed::scale(c(0)))); },
            largest_of(gradient));

        // One a head, and norms that its gradient goes through.
        Eigen::VectorXd factors(e.heads);
        random.fill_normal(factors);
        factors = factors.array() + 2;
        const auto heads = heed::learn(heed::cosine.scale(factors));
        gradient.template of<0>() = decltype(c)(0.0);
        const auto of_heads = check_differences(random, in, heads);
        check_slopes(
            "dc of heads", random, e.heads, factors, of_heads.template of<0>(),
            [&] { return loss_of(in, heads); }, largest_of(of_heads));
        how.visible = nullptr;
        how.scale = [&](index, index h, index) { return factors(h); };
        how.normalise_queries = how.normalise_keys = true;
        const auto exact = check_against_reference<double>(from, how, heads);
        for (index h = 0; h < e.heads; ++h) {
            CHECK(std::abs(exact.gradient.template of<0>()(h) -
                           exact.exact_gradient.scale_of_head[static_cast<std::size_t>(h)]) <=
                  exact.bounds.scale_of_head[static_cast<std::size_t>(h)]);
        }
    });
}

}  // namespace test_attention_scales
