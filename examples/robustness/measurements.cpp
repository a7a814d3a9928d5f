#include "measurements.hpp"

#include <algorithm>
#include <cmath>

#include <heed/attention/attention.hpp>
#include <heed/attention/modifiers/noise.hpp>
#include <heed/attention/observers/row_measures.hpp>
#include <heed/attention/scales/gradient_maximising_scale.hpp>
#include <heed/attention/scales/key_norm.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/random.hpp>
#include <heed/measure/cosine_entropy_floor.hpp>

namespace robustness {

namespace {

using Eigen::Index;
using matrix = measurements::matrix;

constexpr Index value_dim = 16;  // the first half has mean 0, the second mean 1

matrix normal_matrix(std::uint64_t seed, int stream, Index rows, Index columns) {
    const heed::random_numbers numbers(seed, stream);
    return matrix::NullaryExpr(rows, columns,
                               [&](Index i, Index j) { return numbers.normal<float>(i, j); });
}

double relative_change(const Eigen::Ref<const matrix>& before,
                       const Eigen::Ref<const matrix>& after) {
    return static_cast<double>((after - before).norm() / before.norm());
}

double percent_off(double fit, double exact) { return 100 * (fit / exact - 1); }

}  // namespace

measurements::measurements(const settings& chosen)
    : chosen_(chosen),
      q_(normal_matrix(chosen.seed, 1, chosen.queries, chosen.dim)),
      k_(normal_matrix(chosen.seed, 2, chosen.longest, chosen.dim)),
      v_(normal_matrix(chosen.seed, 3, chosen.longest, value_dim)) {
    v_.rightCols(value_dim / 2).array() += 1;
}

template <class Scale>
measurements::seen measurements::look(Index n, const Scale& scale) const {
    const auto [o, stats, entropy, sparsity] = heed::attention_forward(
        q_, k_.topRows(n), v_.topRows(n), scale, heed::row_entropy, heed::row_sparsity);
    const auto of_rows = [&](const auto& numbers) {
        return Eigen::Map<const Eigen::ArrayXf>(numbers.data(), numbers.size())
            .template cast<double>();
    };
    // A row's sparsity is 1/√(n·Σp²).
    return {o, of_rows(entropy).mean(), 1 / (static_cast<double>(n) * of_rows(sparsity).square())};
}

table measurements::noise() const {
    table t{{"n", "scale", "noise", "1/Σp²", "mean 0", "expected", "mean 1", "expected"}, {}};
    const double root = 1 / std::sqrt(static_cast<double>(chosen_.dim));
    for (Index n = 64; n <= chosen_.longest; n *= 4) {
        for (const double alpha : {1.0, 2.0}) {
            const auto scale = heed::scale(alpha * root);
            const auto [o, entropy, squares] = look(n, scale);
            const double square = squares.mean();
            for (const double deviation : {0.25, 1.0}) {
                const matrix noisy = heed::attention(q_, k_.topRows(n), v_.topRows(n), scale,
                                                     heed::normal_noise(deviation, chosen_.seed));
                const Index half = value_dim / 2;
                const double spread = std::expm1(deviation * deviation);
                t.rows.push_back({static_cast<double>(n), alpha, deviation, 1 / square,
                                  relative_change(o.leftCols(half), noisy.leftCols(half)),
                                  std::sqrt(spread),
                                  relative_change(o.rightCols(half), noisy.rightCols(half)),
                                  std::sqrt(spread * square / (1 + square))});
            }
        }
    }
    return t;
}

table measurements::entropy() const {
    table t{
        {"n", "log n", "1/√d", "log_512 n", "log_17 n", "cos", "its floor", "4 log 512", "4 log n"},
        {}};
    for (Index n = 16; n <= chosen_.longest; n *= 2) {
        const auto under = [&](const auto& scale) { return look(n, scale).entropy; };
        const double root = 1 / std::sqrt(static_cast<double>(chosen_.dim));
        t.rows.push_back(
            {static_cast<double>(n), std::log(static_cast<double>(n)), under(heed::scale(root)),
             under(heed::log_n_scale(512)), under(heed::log_n_scale(17)),
             under(heed::cosine.scale(1.0)), heed::measure::cosine_entropy_floor(n, 1),
             under(heed::cosine.scale(4 * std::log(512.0))), under(heed::cosine.log_n_kappa(4))});
    }
    return t;
}

table measurements::scale() const {
    table t{{"n", "α*", "0.84√log n", "off, %", "cosines: α*", "3.5 log n", "off, %"}, {}};
    for (Index keys = 8; keys <= chosen_.longest; keys *= 2) {
        const auto n = static_cast<double>(keys);
        const double best = heed::gradient_maximising_alpha(n);
        const double fit = 0.84 * std::sqrt(std::log(n));
        const double best_cosine = heed::gradient_maximising_cosine_alpha(n, chosen_.dim);
        const double fit_cosine = 3.5 * std::log(n);
        t.rows.push_back({n, best, fit, percent_off(fit, best), best_cosine, fit_cosine,
                          percent_off(fit_cosine, best_cosine)});
    }
    return t;
}

table measurements::size() const {
    table t{{"n", "α", "expected", "mean", "median"}, {}};
    const double root = 1 / std::sqrt(static_cast<double>(chosen_.dim));
    for (Index n = 64; n <= std::min<Index>(chosen_.longest, 16384); n *= 16) {
        for (double alpha = 0.5; alpha <= 10; alpha += 0.5) {
            Eigen::ArrayXd sizes = alpha * (1 - look(n, heed::scale(alpha * root)).squares);
            double* const middle = sizes.data() + sizes.size() / 2;
            std::nth_element(sizes.data(), middle, sizes.data() + sizes.size());
            const double expected = alpha * (1 - std::exp(alpha * alpha) / static_cast<double>(n));
            t.rows.push_back({static_cast<double>(n), alpha, expected, sizes.mean(), *middle});
        }
    }
    return t;
}

}  // namespace robustness
