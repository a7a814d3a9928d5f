#include "head.hpp"

#include <array>
#include <cmath>
#include <random>
#include <utility>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>

namespace gallery {

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Eigen::Index tokens = 24, names = 8, dim = 16;

/// Tokens with names, and what each should find: the value of the token before it that bears its
/// name, or its own.
struct sequence {
    matrix named{tokens, dim}, values{tokens, dim}, wanted{tokens, dim};

    sequence(const matrix& vocabulary, std::mt19937_64& engine) {
        std::normal_distribution<float> normal;
        std::array<Eigen::Index, names> last{};
        last.fill(-1);
        for (Eigen::Index i = 0; i < tokens; ++i) {
            const auto name = static_cast<Eigen::Index>(engine() % names);
            for (Eigen::Index c = 0; c < dim; ++c) {
                named(i, c) = vocabulary(name, c) + 0.3F * normal(engine);
                values(i, c) = normal(engine);
            }
            Eigen::Index& before = last[static_cast<std::size_t>(name)];
            wanted.row(i) = values.row(before < 0 ? i : before);
            before = i;
        }
    }
};

matrix random_matrix(Eigen::Index rows, float deviation, std::mt19937_64& engine) {
    std::normal_distribution<float> normal(0, deviation);
    return matrix::NullaryExpr(rows, dim, [&] { return normal(engine); });
}

}  // namespace

Eigen::MatrixXf train_head(int steps, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    const matrix vocabulary = random_matrix(names, 1, engine);
    const float deviation = 1 / std::sqrt(static_cast<float>(dim));
    matrix to_query = random_matrix(dim, deviation, engine),
           to_key = random_matrix(dim, deviation, engine);
    for (int step = 0; step < steps; ++step) {
        const sequence text(vocabulary, engine);
        const matrix q = text.named * to_query, k = text.named * to_key;
        const auto [o, stats] = heed::attention_forward(q, k, text.values, heed::causal);
        const matrix d_o = (o - text.wanted) / static_cast<float>(tokens);
        const auto gradient =
            heed::attention_backward(d_o, o, stats, q, k, text.values, heed::causal);
        const float rate = 0.1F;
        to_query -= rate * text.named.transpose() * gradient.q;
        to_key -= rate * text.named.transpose() * gradient.k;
    }
    const sequence text(vocabulary, engine);
    return (text.named * to_query) * (text.named * to_key).transpose() /
           std::sqrt(static_cast<float>(dim));
}

}  // namespace gallery
