#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

/// \file
/// Scores, temperatures and values of every finite size, against sums in long double, whose
/// exponents reach far beyond.

namespace test_attention_magnitudes {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one
using real = long double;
using row = std::vector<real>;

/// What a normaliser makes of a row of scores, and of the gradient of its result.
struct exact_row {
    row p;
    row ds;
    real log_sum_exp = 0;
};

real dot(const row& a, const row& b) {
    real sum = 0;
    for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
    return sum;
}

exact_row exact_softmax(const row& s, const row& dp, real temperature, const real* sink) {
    real maximum = *std::max_element(s.begin(), s.end());
    if (sink != nullptr) maximum = std::max(maximum, *sink);
    exact_row result{s, s};
    real sum = sink == nullptr ? 0 : std::exp((*sink - maximum) / temperature);
    for (real& x : result.p) sum += x = std::exp((x - maximum) / temperature);
    for (real& x : result.p) x /= sum;
    const real mean = dot(result.p, dp);
    for (std::size_t j = 0; j < s.size(); ++j)
        result.ds[j] = result.p[j] * (dp[j] - mean) / temperature;
    result.log_sum_exp = maximum + temperature * std::log(sum);
    return result;
}

exact_row exact_l2(const row& s, const row& dp) {
    const real maximum = *std::max_element(s.begin(), s.end());
    exact_row result{s, s};
    real squares = 0;
    for (real& x : result.p) {
        x = std::exp(x - maximum);
        squares += x * x;
    }
    for (real& x : result.p) x /= std::sqrt(squares);
    const real mean = dot(result.p, dp);
    for (std::size_t j = 0; j < s.size(); ++j)
        result.ds[j] = result.p[j] * (dp[j] - result.p[j] * mean);
    return result;
}

/// f(s)/Σf(s)
template <class F, class Slope>
exact_row exact_weights(const row& s, const row& dp, const F& f, const Slope& slope) {
    exact_row result{s, s};
    real sum = 0;
    for (real& x : result.p) sum += x = f(x);
    for (real& x : result.p) x = sum == 0 ? 0 : x / sum;
    const real mean = dot(result.p, dp);
    for (std::size_t j = 0; j < s.size(); ++j)
        result.ds[j] = sum == 0 ? 0 : slope(s[j]) / sum * (dp[j] - mean);
    return result;
}

real taylor_polynomial(real x, int order) {
    real sum = 1;
    for (int m = order; m > 0; --m) sum = 1 + x / m * sum;
    return sum;
}

/// Rows of scores in which some or all are of the given size: what is large stands first, last, in
/// the middle, or everywhere.
template <class T>
std::vector<std::vector<T>> rows_of_size(generator& random, T size) {
    const auto keys = static_cast<std::size_t>(2 * heed::detail::key_block<T> + 37);
    std::vector<T> ordinary = random.numbers<T>(keys);
    std::vector<std::vector<T>> rows;
    rows.push_back(std::vector<T>(keys, size));  // all the same
    rows.push_back(ordinary);                    // all of them, of both signs
    for (T& x : rows.back()) x = std::clamp<T>(x / T(8), -1, 1) * size;
    const auto block = static_cast<std::size_t>(heed::detail::key_block<T>);
    for (const auto& [first, last] : {std::pair<std::size_t, std::size_t>{0, block},
                                      {block, keys},
                                      {block + 5, block + 6},
                                      {keys - 1, keys}}) {
        rows.push_back(ordinary);
        std::fill(rows.back().begin() + static_cast<std::ptrdiff_t>(first),
                  rows.back().begin() + static_cast<std::ptrdiff_t>(last), size);
    }
    return rows;
}

/// Forward and backward of one row of scores, times a scale that is a power of two, so that heed
/// has them without rounding.
template <class T, class Normaliser, class Exact>
void check_row(const std::vector<T>& scores, double scale, const Normaliser& normaliser,
               const Exact& exact_of, double exponents) {
    const auto keys = static_cast<index>(scores.size());
    generator random(7);
    tensor4<T> q(1, 1, 1, 1), k(1, 1, keys, 1);
    q.setConstant(1);
    for (index j = 0; j < keys; ++j)
        k(0, 0, j, 0) = scores[static_cast<std::size_t>(j)] / static_cast<T>(scale);
    const auto v = random.tensor<T>(1, 1, keys, 2), d_o = random.tensor<T>(1, 1, 1, 2);
    row s(scores.begin(), scores.end()), dp(scores.size());
    for (index j = 0; j < keys; ++j)
        dp[static_cast<std::size_t>(j)] = real(d_o(0, 0, 0, 0)) * real(v(0, 0, j, 0)) +
                                          real(d_o(0, 0, 0, 1)) * real(v(0, 0, j, 1));
    const exact_row exact = exact_of(s, dp);

    const auto [o, stats] = heed::attention_forward(q, k, v, heed::scale(scale), normaliser);
    const auto gradient =
        heed::attention_backward(d_o, o, stats, q, k, v, heed::scale(scale), normaliser);

    // An exponent of up to `exponents` rounds by as many units; beyond, a weight is nothing.
    const real unit = std::numeric_limits<T>::epsilon(), tiny = std::numeric_limits<T>::min();
    const real range = std::is_same_v<T, float> ? 1 : 8;  // of exponents, over a float's
    const real relative = (8 + range * exponents) * unit;
    real sum = 0, largest = 0, largest_dp = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
        sum += exact.p[j];
        largest = std::max(largest, std::abs(real(v(0, 0, static_cast<index>(j), 0))));
        largest_dp = std::max(largest_dp, std::abs(dp[j]));
    }
    real mean = 0;
    for (std::size_t j = 0; j < s.size(); ++j)
        mean += exact.p[j] * v(0, 0, static_cast<index>(j), 0);
    CHECK(std::abs(o(0, 0, 0, 0) - mean) <= relative * std::max<real>(1, sum) * 4 * largest);
    for (index j = 0; j < keys; ++j) {
        const real p = exact.p[static_cast<std::size_t>(j)];
        const real ds = exact.ds[static_cast<std::size_t>(j)];
        const real dv = p * d_o(0, 0, 0, 0), dk = ds * scale;
        if (!(std::abs(gradient.v(0, 0, j, 0) - dv) <=
              relative * std::abs(dv) + 1e4 * tiny * std::abs(real(d_o(0, 0, 0, 0)))))
            FAIL_CHECK("dv of key " << j << " is " << gradient.v(0, 0, j, 0) << ", exactly "
                                    << static_cast<double>(dv));
        if (std::abs(dk) > std::numeric_limits<T>::max() / 4) continue;
        // ds = p·(dp − mean)/τ: the difference is as exact as its terms.
        const real slope = dp[static_cast<std::size_t>(j)] == 0
                               ? 0
                               : std::abs(dk) + p * largest_dp * scale *
                                                    (ds == 0 ? 1 : std::abs(ds / (p * largest_dp)));
        const real bound =
            relative * (slope + p * largest_dp * scale) * 4 + 1e4 * tiny * std::max(1.0, scale);
        if (!(std::abs(gradient.k(0, 0, j, 0) - dk) <= bound))
            FAIL_CHECK("dk of key " << j << " is " << gradient.k(0, 0, j, 0) << ", exactly "
                                    << static_cast<double>(dk));
    }
    if constexpr (requires { normaliser.tau(); })
        if (std::abs(exact.log_sum_exp) < std::numeric_limits<double>::max())
            CHECK(std::abs(real(stats.log_sum_exp(0, 0, 0)) - exact.log_sum_exp) <=
                  1e-14L * std::abs(exact.log_sum_exp) + normaliser.tau() * 10 * unit);
}

template <class T>
std::vector<T> sizes() {
    constexpr T largest = std::numeric_limits<T>::max();
    std::vector<T> result{T(1e4), T(2147483648.0), T(1e20)};
    if (std::is_same_v<T, double>) result.insert(result.end(), {T(2e19), T(1e160)});
    result.insert(result.end(), {largest / 4, largest});
    const std::size_t count = result.size();
    for (std::size_t i = 0; i < count; ++i) result.push_back(-result[i]);
    return result;
}

/// check(row) for rows of all sizes.
template <class T, class Check>
void for_all_sizes(std::uint64_t stream, const Check& check) {
    generator random(stream);
    for (const T size : sizes<T>()) {
        for (const auto& scores : rows_of_size(random, size)) {
            INFO((std::is_same_v<T, float> ? "float" : "double") << ", scores of " << size);
            check(scores);
        }
    }
}

template <class T>
void check_softmax() {
    for_all_sizes<T>(91, [](const std::vector<T>& scores) {
        for (const double temperature : {1e-300, 1e-30, 1e-3, 1.0, 1e5, 1e30, 1e37, 1e300}) {
            INFO("temperature " << temperature);
            check_row(
                scores, 1, heed::softmax.temperature(temperature),
                [=](const row& s, const row& dp) {
                    return exact_softmax(s, dp, temperature, nullptr);
                },
                150);
        }
    });
}

TEST_CASE("softmax of scores of every size at every temperature") {
    check_softmax<float>();
    check_softmax<double>();
}

TEST_CASE("scales from 2^-60 to 2^60") {
    for (const double scale : {0x1p-60, 0x1p60}) {
        INFO("scale " << scale);
        generator random(92);
        for (const float size : {1e4F, 1e10F, -1e18F})
            for (const auto& scores : rows_of_size(random, size))
                check_row(
                    scores, scale, heed::softmax.temperature(1),
                    [](const row& s, const row& dp) { return exact_softmax(s, dp, 1, nullptr); },
                    150);
    }
}

TEST_CASE("a sink of any size is one more key") {
    for_all_sizes<float>(93, [](const std::vector<float>& scores) {
        for (const float sink : {0.0F, scores[0], scores[300], scores.back()}) {
            INFO("sink " << sink);
            check_row(
                scores, 1, heed::sink(sink),
                [&](const row& s, const row& dp) {
                    const real logit = sink;
                    return exact_softmax(s, dp, 1, &logit);
                },
                150);
        }
    });
}

TEST_CASE("exponentials over their length, scores of every size") {
    for_all_sizes<float>(94, [](const std::vector<float>& scores) {
        check_row(scores, 1, heed::l2_softmax, exact_l2, 150);
    });
}

template <class T>
void check_taylor() {
    for_all_sizes<T>(95, [](const std::vector<T>& scores) {
        for (const int order : {2, 4, 12}) {
            INFO("order " << order);
            check_row(
                scores, 1, heed::taylor_softmax(order),
                [=](const row& s, const row& dp) {
                    return exact_weights(
                        s, dp, [=](real x) { return taylor_polynomial(x, order); },
                        [=](real x) { return taylor_polynomial(x, order - 1); });
                },
                60);
        }
    });
}

TEST_CASE("Taylor softmax and normalised squares of scores of every size") {
    check_taylor<float>();
    check_taylor<double>();
    for_all_sizes<float>(96, [](const std::vector<float>& scores) {
        check_row(
            scores, 1, heed::normalised_relu_squared,
            [](const row& s, const row& dp) {
                return exact_weights(
                    s, dp, [](real x) { return x > 0 ? x * x : 0; },
                    [](real x) { return x > 0 ? 2 * x : 0; });
            },
            8);
    });
}

TEST_CASE("sigmoid of scores of every size") {
    for_all_sizes<float>(97, [](const std::vector<float>& scores) {
        check_row(
            scores, 1, heed::sigmoid.bias(-2),
            [](const row& s, const row& dp) {
                exact_row result{s, s};
                for (std::size_t j = 0; j < s.size(); ++j) {
                    result.p[j] = 1 / (1 + std::exp(2 - s[j]));
                    result.ds[j] = result.p[j] * (1 / (1 + std::exp(s[j] - 2))) * dp[j];
                }
                return result;
            },
            150);
    });
}

template <class T, class... Parts>
void check_largest_values(const Parts&... parts) {
    const T large = std::numeric_limits<T>::max() * T(0.88);
    generator random(98);
    for (const index keys : {index(2), index(700)}) {
        const auto q = random.tensor<T>(1, 1, 50, 8), k = random.tensor<T>(1, 1, keys, 8);
        auto v = random.tensor<T>(1, 1, keys, 5);
        for (index j = 0; j < keys; ++j) v(0, 0, j, 3) = large;
        const auto o = heed::attention(q, k, v, parts...);
        auto smaller = v;
        for (index j = 0; j < keys; ++j) smaller(0, 0, j, 3) = 1;
        const auto ordinary = heed::attention(q, k, smaller, parts...);
        for (index i = 0; i < 50; ++i) {
            CHECK(o(0, 0, i, 3) / large ==
                  Approx(ordinary(0, 0, i, 3)).epsilon(20 * std::numeric_limits<T>::epsilon()));
            // The other columns are theirs, though done in another order.
            CHECK(o(0, 0, i, 0) ==
                  Approx(ordinary(0, 0, i, 0)).margin(40 * std::numeric_limits<T>::epsilon()));
        }
    }
}

TEST_CASE("values near the largest number have a mean") {
    check_largest_values<float>();
    check_largest_values<double>();
    check_largest_values<float>(heed::taylor_softmax(4));
}

TEST_CASE("a row that sees only ordinary values has the same bits beside large ones") {
    generator random(99);
    const auto q = random.tensor<float>(1, 1, 40, 8), k = random.tensor<float>(1, 1, 40, 8);
    auto v = random.tensor<float>(1, 1, 40, 5);
    const auto window = heed::sliding_window(3, 0);
    const auto ordinary = heed::attention(q, k, v, window);
    for (index c = 0; c < 5; ++c) v(0, 0, 20, c) = v(0, 0, 21, c) = 3e38F;
    const auto o = heed::attention(q, k, v, window);
    for (index i = 0; i < 40; ++i)
        for (index c = 0; c < 5; ++c)
            if (i < 20 || i > 24) CHECK(o(0, 0, i, c) == ordinary(0, 0, i, c));
    CHECK(o(0, 0, 22, 0) < 3.1e38F);
}

TEST_CASE("a mean over a million keys") {
    // A block's chain of 256 additions may err by half as many roundings, a stretch of 32 blocks by
    // 16, and stretches add up to less than one.
    constexpr double bound = (128 + 16 + 4) * 0x1p-24;
    generator random(100);
    for (const index keys : {index(8191), index(1) << 20, (index(1) << 20) + 12345}) {
        INFO(keys << " keys");
        tensor4<float> q(1, 1, 1, 1), k(1, 1, keys, 1), v(1, 1, keys, 3);
        q.setConstant(1);
        real weights = 0, mean[3] = {0, 0, 0};
        for (index j = 0; j < keys; ++j) {
            k(0, 0, j, 0) = static_cast<float>(random.uniform(0, 4));
            v(0, 0, j, 0) = 1 / 9.0F;
            v(0, 0, j, 1) = static_cast<float>(random.uniform());
            v(0, 0, j, 2) = static_cast<float>(random.normal());
            const real weight = std::exp(real(k(0, 0, j, 0)));
            weights += weight;
            for (index c = 0; c < 3; ++c)
                mean[static_cast<std::size_t>(c)] += weight * v(0, 0, j, c);
        }
        const auto o = heed::attention(q, k, v);
        CHECK(std::abs(o(0, 0, 0, 0) - 1 / 9.0F) <= bound / 9);
        CHECK(std::abs(real(o(0, 0, 0, 1)) - mean[1] / weights) <= bound / 8);
        CHECK(std::abs(real(o(0, 0, 0, 2)) - mean[2] / weights) <= bound / 8);
    }
}

template <class T, class Normaliser>
void check_certain_rows(const Normaliser& normaliser) {
    generator random(101);
    const extents e{1, 2, 1, 37, 37, 64, 48};
    const inputs<T> in(random, e);
    const auto one = heed::sliding_window(0, 0);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, one, normaliser);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, one, normaliser);
    const auto zero = [](T x) { return x == 0; };
    CHECK(std::all_of(gradient.q.data(), gradient.q.data() + gradient.q.size(), zero));
    CHECK(std::all_of(gradient.k.data(), gradient.k.data() + gradient.k.size(), zero));
    for (index h = 0; h < 2; ++h)
        for (index i = 0; i < 37; ++i) CHECK(o(0, h, i, 5) == in.v(0, 0, i, 5));
}

TEST_CASE("a row that sees one key is that key's v, and its scores have no gradient") {
    check_certain_rows<float>(heed::softmax);
    check_certain_rows<float>(heed::softmax.temperature(0.3));
    check_certain_rows<double>(heed::softmax);
    check_certain_rows<float>(heed::l2_softmax);
}

}  // namespace test_attention_magnitudes
