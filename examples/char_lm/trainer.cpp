#include "trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <random>

#include "optimiser.hpp"

namespace char_lm {

namespace {

/// Up along a line for the first twentieth, then down along a cosine to nothing.
double learning_rate_at(double fraction, double highest) {
    constexpr double warm_up = 0.05;
    if (fraction < warm_up) return highest * (fraction + 1e-3) / warm_up;
    const double rest = (fraction - warm_up) / (1 - warm_up);
    return highest * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, rest)));
}

/// One shard of a batch: its gradient and its loss.
struct shard {
    flat_vector<float> gradient;
    double loss = 0;
    index first = 0;    ///< its first window
    index windows = 0;  ///< how many
};

/// At most eight shards, as even as can be: enough to share out, few enough to sum.
std::vector<shard> cut(index windows, index parameters) {
    const index count = std::min<index>(windows, 8);
    std::vector<shard> shards(static_cast<std::size_t>(count));
    for (index s = 0; s < count; ++s) {
        shard& part = shards[std::size_t(s)];
        part.first = windows * s / count;
        part.windows = windows * (s + 1) / count - part.first;
        part.gradient.resize(std::size_t(parameters));
    }
    return shards;
}

/// Sums the gradients of all shards into the first's, and returns the sum's norm. Pieces of the
/// vector are shared out; within a piece shards are added in their order, and so are the pieces'
/// squares: chance has no part in it.
double sum_gradients(std::vector<shard>& shards, team& threads, index piece) {
    const auto size = static_cast<index>(shards.front().gradient.size());
    const index pieces = (size + piece - 1) / piece;
    std::vector<double> squares(static_cast<std::size_t>(pieces));
    threads.share(pieces, [&](int, index p) {
        const index first = p * piece;
        const index count = std::min(piece, size - first);
        Eigen::Map<Eigen::ArrayXf> sum(shards.front().gradient.data() + first, count);
        for (std::size_t s = 1; s < shards.size(); ++s)
            sum += Eigen::Map<const Eigen::ArrayXf>(shards[s].gradient.data() + first, count);
        squares[std::size_t(p)] = double(sum.square().sum());
    });
    double square = 0;
    for (const double s : squares) square += s;
    return std::sqrt(square);
}

}  // namespace

batch_source windows_of(const corpus& text, index context, double repeating) {
    return
        [=, text = text.training()](index windows, std::mt19937_64& engine, training_batch& batch) {
            const auto length = std::size_t(context) + 1;
            for (index w = 0; w < windows; ++w) {
                const auto stretch = text.subspan(engine() % (text.size() - length + 1), length);
                std::vector<token> window(stretch.begin(), stretch.end());
                if (repeating > 0 && std::bernoulli_distribution(repeating)(engine)) {
                    const std::size_t period = length / 8 + engine() % (length / 2 - length / 8);
                    for (std::size_t i = period; i < length; ++i) window[i] = window[i - period];
                }
                batch.inputs.insert(batch.inputs.end(), window.begin(), window.end() - 1);
                batch.targets.insert(batch.targets.end(), window.begin() + 1, window.end());
            }
        };
}

void train(const transformer<float>& model, flat_vector<float>& parameters,
           const batch_source& draw, const training_settings& settings, team& threads,
           const std::function<void(const training_state&)>& watch) {
    using clock = std::chrono::steady_clock;
    constexpr index piece = 1 << 14;      // 64 KiB of floats: four such arrays fit into L2
    constexpr double largest_norm = 1.0;  // longer gradients are cut to this

    const index size = model.parameter_count();
    const index context = model.sizes().context;
    const index decayed = model.decayed_count();
    auto shards = cut(settings.batch, size);
    std::vector<std::shared_ptr<transformer<float>::workspace>> work;
    for (int i = 0; i < threads.size(); ++i) work.push_back(model.make_workspace());
    adamw optimiser(size, {});
    std::mt19937_64 engine(settings.seed);
    training_batch now;

    const auto start = clock::now();
    training_state state;
    while (state.fraction < 1) {
        now.inputs.clear();
        now.targets.clear();
        draw(settings.batch, engine, now);
        const index tokens = settings.batch * context;
        const index scored =
            tokens - std::count(now.targets.begin(), now.targets.end(), not_scored);
        threads.share(static_cast<index>(shards.size()), [&](int member, index s) {
            shard& part = shards[std::size_t(s)];
            const auto first = std::size_t(part.first * context);
            const auto count = std::size_t(part.windows * context);
            part.loss =
                model.loss_and_gradient(parameters, std::span(now.inputs).subspan(first, count),
                                        std::span(now.targets).subspan(first, count), part.windows,
                                        state.step * settings.batch + part.first, scored,
                                        *work[std::size_t(member)], part.gradient);
        });

        const double norm = sum_gradients(shards, threads, piece);
        const auto rate =
            static_cast<float>(learning_rate_at(state.fraction, settings.learning_rate));
        const auto factor = static_cast<float>(norm > largest_norm ? largest_norm / norm : 1.0);
        optimiser.next_step();
        const auto update = [&](index first, index count, bool decays) {
            threads.share((count + piece - 1) / piece, [&](int, index p) {
                optimiser.update(parameters, shards.front().gradient, factor, rate, decays,
                                 first + p * piece, std::min(piece, count - p * piece));
            });
        };
        update(0, decayed, true);
        update(decayed, size - decayed, false);

        ++state.step;
        state.loss = 0;
        for (const shard& part : shards) state.loss += part.loss;
        state.loss /= double(scored);
        state.seconds = std::chrono::duration<double>(clock::now() - start).count();
        state.tokens_a_second = double(state.step * tokens) / state.seconds;
        state.fraction = settings.steps > 0 ? double(state.step) / double(settings.steps)
                                            : state.seconds / settings.seconds;
        watch(state);
    }
}

void train(const transformer<float>& model, flat_vector<float>& parameters, const corpus& text,
           const training_settings& settings, team& threads,
           const std::function<void(const training_state&)>& watch) {
    train(model, parameters, windows_of(text, model.sizes().context, settings.repeating), settings,
          threads, watch);
}

}  // namespace char_lm
