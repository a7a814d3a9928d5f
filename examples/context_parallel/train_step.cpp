#include "train_step.hpp"

#include <cmath>
#include <cstddef>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <Eigen/Core>

#include "model.hpp"
#include "normalisers.hpp"
#include "optimiser.hpp"
#include "ring_layer.hpp"

namespace context_parallel {

namespace {

using char_lm::token;
using transformer = char_lm::transformer<float>;
using numbers = char_lm::flat_vector<float>;

constexpr index vocabulary = 64;

/// Windows of random characters, one behind the other.
struct text {
    index windows, tokens;
    std::vector<token> characters;  ///< of each window one more: the last is only predicted

    text(index count, index length, std::uint64_t seed) : windows(count), tokens(length) {
        std::mt19937_64 random(seed);
        for (index i = 0; i < windows * (tokens + 1); ++i)
            characters.push_back(static_cast<token>(random() % vocabulary));
    }

    /// Those of all windows at the stretches, or `ahead` of them.
    std::vector<token> at(const std::vector<stretch>& stretches, index ahead) const {
        std::vector<token> result;
        for (index window = 0; window < windows; ++window) {
            const auto begin = characters.begin() + window * (tokens + 1) + ahead;
            for (const stretch& one : stretches)
                result.insert(result.end(), begin + one.first, begin + one.last);
        }
        return result;
    }
};

/// What a step leaves.
struct step {
    double loss = 0;  ///< the mean of all characters
    numbers gradient, weights;
};

/// AdamW's first step goes by g/(|g| + ε). With the usual ε, 1e-8, rounding would decide the whole
/// step of a weight whose gradient is nearly nothing; with this one weights differ by rate/ε = 3
/// times what their gradients do at most, but for rounding.
constexpr float rate = 3e-3F, epsilon = 1e-3F;

/// A step by the characters at `stretches`; `sum` adds loss and gradient of the others.
template <class Sum>
step take_step(const transformer& model, const text& all, const std::vector<stretch>& stretches,
               std::uint64_t seed, Sum&& sum) {
    const index size = model.parameter_count(), decayed = model.decayed_count();
    const index characters = all.windows * all.tokens;
    step of{0, numbers(static_cast<std::size_t>(size)), numbers(static_cast<std::size_t>(size))};
    model.initialise(of.weights, seed);
    const auto work = model.make_workspace();
    of.loss = model.loss_and_gradient(of.weights, all.at(stretches, 0), all.at(stretches, 1),
                                      all.windows, 0, characters, *work, of.gradient) /
              static_cast<double>(characters);
    sum(of.loss, of.gradient);

    char_lm::adamw optimiser(size, {.epsilon = epsilon});
    optimiser.next_step();
    optimiser.update(of.weights, of.gradient, 1, rate, true, 0, decayed);
    optimiser.update(of.weights, of.gradient, 1, rate, false, decayed, size - decayed);
    return of;
}

/// Over the largest number; NaN where there is one.
double difference(const numbers& found, const numbers& expected) {
    using array = Eigen::Map<const Eigen::ArrayXf>;
    const array a(found.data(), static_cast<index>(found.size()));
    const array b(expected.data(), static_cast<index>(expected.size()));
    return static_cast<double>((a - b).abs().maxCoeff<Eigen::PropagateNaN>()) /
           static_cast<double>(b.abs().maxCoeff());
}

}  // namespace

step_differences compare_training_step(const cluster& ranks, const ring_settings& settings,
                                       index layers, std::uint64_t seed) {
    const model_shape& m = settings.model;
    const char_lm::architecture sizes{.vocabulary = vocabulary,
                                      .layers = layers,
                                      .heads = m.heads,
                                      .width = m.heads * m.dim,
                                      .context = settings.tokens};
    const text all(m.batch, settings.tokens, seed);

    const transformer shared(sizes, [&](const char_lm::architecture&, index) {
        return std::make_unique<ring_layer>(ranks, settings);
    });
    const auto own = stretches_of(ranks.rank(), ranks.size(), settings.tokens, settings.placed);
    const step together = take_step(shared, all, own, seed, [&](double& loss, numbers& gradient) {
        loss = ranks.sum(loss);
        ranks.sum(gradient);
    });

    const transformer whole(sizes, char_lm::softmax_attention);
    const step alone =
        take_step(whole, all, {{0, settings.tokens}}, seed, [](double&, numbers&) {});

    return {.loss = ranks.largest(std::abs(together.loss - alone.loss) / alone.loss),
            .gradients = ranks.largest(difference(together.gradient, alone.gradient)),
            .weights = ranks.largest(difference(together.weights, alone.weights))};
}

}  // namespace context_parallel
