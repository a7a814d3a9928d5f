#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "attention_with.hpp"
#include "model_implementation.hpp"
#include "support/catch.hpp"

/// The model in double precision: its backward against central differences, and the three ways
/// through it (training, use, one character at a time) against one another.

namespace char_lm {

template class transformer<double>;

namespace test_model {

using model = transformer<double>;

const architecture tiny{.vocabulary = 7,
                        .layers = 2,
                        .heads = 2,
                        .width = 8,
                        .context = 6,
                        .scale = score_scale::standard,
                        .query_key_bias = false,
                        .token_shift = false};

std::unique_ptr<attention<double>> softmax(const architecture& sizes, index) {
    return make_rotary_attention<double>(sizes, heed::softmax);
}

std::unique_ptr<attention<double>> entmax15(const architecture& sizes, index) {
    return make_rotary_attention<double>(sizes, heed::entmax15);
}

std::vector<double> some_parameters(const model& m) {
    std::vector<double> parameters(std::size_t(m.parameter_count()));
    m.initialise(parameters, 3);
    // Gains away from 1 and logits away from 0, so that no gradient is small by chance.
    std::mt19937_64 engine(4);
    std::uniform_real_distribution<double> factor(0.5, 2.0);
    for (double& p : parameters) p = (p == 0 ? 0.1 : p) * factor(engine);
    return parameters;
}

std::vector<token> some_text(index length) {
    std::mt19937_64 engine(5);
    std::vector<token> text;
    for (index i = 0; i < length; ++i) text.push_back(static_cast<token>(engine() % 7));
    return text;
}

TEST_CASE("the gradient of the whole model is that of central differences") {
    auto sizes = tiny;
    sizes.scale = GENERATE(score_scale::standard, score_scale::log_n);
    sizes.query_key_bias = GENERATE(false, true);
    sizes.token_shift = sizes.query_key_bias;
    const model m(sizes, sizes.query_key_bias ? softmax : entmax15);
    auto parameters = some_parameters(m);
    const index sequences = 3;
    const index count = sequences * tiny.context;
    const auto inputs = some_text(count);
    auto targets = inputs;
    std::rotate(targets.begin(), targets.begin() + 1, targets.end());
    const auto work = m.make_workspace();

    std::vector<double> gradient(parameters.size(), std::nan(""));
    m.loss_and_gradient(parameters, inputs, targets, sequences, 0, count, *work, gradient);
    double largest = 0;
    for (const double g : gradient) largest = std::max(largest, std::abs(g));
    REQUIRE(largest > 0.01);

    std::vector<double> unused(parameters.size());
    const auto mean_loss = [&] {
        return m.loss_and_gradient(parameters, inputs, targets, sequences, 0, count, *work,
                                   unused) /
               double(count);
    };
    const double step = 1e-5;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const double here = parameters[i];
        parameters[i] = here + step;
        const double above = mean_loss();
        parameters[i] = here - step;
        const double below = mean_loss();
        parameters[i] = here;
        const double difference = (above - below) / (2 * step);
        if (!(std::abs(gradient[i] - difference) <= 1e-8 + 1e-7 * largest)) {
            CAPTURE(i, gradient[i], difference);
            FAIL_CHECK("a gradient is wrong");
        }
    }
}

TEST_CASE("one character at a time gives what the whole window gives") {
    auto sizes = tiny;
    sizes.token_shift = GENERATE(false, true);
    const model m(sizes, softmax);
    const auto parameters = some_parameters(m);
    const auto text = some_text(tiny.context);
    const auto work = m.make_workspace();
    const matrix<double> window = m.infer(parameters, text, 1, score_scale::standard, *work);
    auto seen = m.make_cache(tiny.context);
    for (int time = 0; time < 2; ++time) {
        for (index i = 0; i < tiny.context; ++i) {
            const auto& logits = m.step(parameters, text[std::size_t(i)], seen);
            CHECK((logits.row(0) - window.row(i)).cwiseAbs().maxCoeff() < 1e-12);
        }
        seen.clear();
    }
}

TEST_CASE("targets that are not scored count neither in the loss nor in its gradient") {
    matrix<double> logits = matrix<double>::Identity(3, 4), scored_alone = logits.topRows(1);
    const std::vector<token> targets{2, not_scored, not_scored};
    const double loss = cross_entropy::forward_backward(logits, targets, 1);
    CHECK(loss == cross_entropy::forward_backward(scored_alone, std::span(targets).first(1), 1));
    CHECK(logits.topRows(1) == scored_alone);
    CHECK(logits.bottomRows(2).cwiseAbs().maxCoeff() == 0);
}

TEST_CASE("no character depends on those behind it, nor on other windows of the batch") {
    const model m(tiny, softmax);
    const auto parameters = some_parameters(m);
    auto text = some_text(2 * tiny.context);
    const auto work = m.make_workspace();
    const matrix<double> before = m.infer(parameters, text, 2, score_scale::standard, *work);
    const index changed = tiny.context - 2;
    text[std::size_t(changed)] = static_cast<token>((text[std::size_t(changed)] + 1) % 7);
    const matrix<double> after = m.infer(parameters, text, 2, score_scale::standard, *work);
    CHECK(before.topRows(changed) == after.topRows(changed));
    CHECK(before.row(changed) != after.row(changed));
    CHECK(before.bottomRows(tiny.context) == after.bottomRows(tiny.context));
}

TEST_CASE("log n scaling after training changes nothing within the training length") {
    const model m(tiny, softmax);
    const auto parameters = some_parameters(m);
    const auto text = some_text(2 * tiny.context);
    const auto work = m.make_workspace();
    const matrix<double> plain = m.infer(parameters, text, 1, score_scale::standard, *work);
    const matrix<double> scaled =
        m.infer(parameters, text, 1, score_scale::log_n_after_training, *work);
    const matrix<double> difference = (plain - scaled).cwiseAbs();
    CHECK(difference.topRows(tiny.context).maxCoeff() < 1e-12);
    CHECK(difference.bottomRows(tiny.context).rowwise().maxCoeff().minCoeff() > 1e-9);
}

TEST_CASE("attention weights are rows of a causal distribution") {
    const model m(tiny, softmax);
    const auto parameters = some_parameters(m);
    const auto text = some_text(tiny.context);
    const auto work = m.make_workspace();
    const matrix<double> weights = m.attention_weights(parameters, text, 1, 1, *work);
    for (index i = 0; i < tiny.context; ++i) {
        CHECK(std::abs(weights.row(i).sum() - 1) < 1e-12);
        for (index j = i + 1; j < tiny.context; ++j) CHECK(weights(i, j) == 0);
    }
}

}  // namespace test_model
}  // namespace char_lm
