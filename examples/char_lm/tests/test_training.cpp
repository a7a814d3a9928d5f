#include <cmath>
#include <string>
#include <vector>

#include "evaluate.hpp"
#include "generate.hpp"
#include "optimiser.hpp"
#include "support/catch.hpp"
#include "temporary_folder.hpp"
#include "trainer.hpp"

/// Training on a text that repeats itself: it must be learnt, and give the same bits again.

namespace char_lm {

namespace test_training {

corpus rhyme(index context) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += "one two buckle my shoe, ";
    const temporary_folder folder;
    return {{folder.file("rhyme.txt", text)}, context, 1};
}

options short_run() {
    options o;
    o.context = 16;
    o.width = 16;
    o.layers = 1;
    o.heads = 2;
    o.steps = 60;
    o.learning_rate = 2e-2;
    o.seed = 7;
    return o;
}

flat_vector<float> trained(const transformer<float>& model, const corpus& text, const options& o,
                           int threads) {
    flat_vector<float> parameters(std::size_t(model.parameter_count()));
    model.initialise(parameters, o.seed);
    team workers(threads);
    train(model, parameters, text, o, workers, [](const training_state&) {});
    return parameters;
}

TEST_CASE("training learns a rhyme, with the same bits for any number of threads") {
    const options o = short_run();
    const corpus text = rhyme(o.context);
    const transformer<float> model(
        {text.vocabulary_size(), o.layers, o.heads, o.width, o.context, score_scale::standard});
    const auto one = trained(model, text, o, 1);
    CHECK((one == trained(model, text, o, 1)));
    CHECK((one == trained(model, text, o, 2)));
    CHECK((one == trained(model, text, o, 3)));

    team workers(2);
    const auto learnt = evaluate(model, one, text.validation(), o.context, o.context, 8,
                                 score_scale::standard, workers);
    REQUIRE(learnt);
    CHECK(learnt->loss < text.entropy(1));
    CHECK(learnt->accuracy > 0.7);

    const auto prompt = text.validation().first(5);
    const auto sample = generate(model, one, prompt, 50, 0.5, 1);
    CHECK(sample.size() == 50);
    CHECK(sample == generate(model, one, prompt, 50, 0.5, 1));
    CHECK(sample != generate(model, one, prompt, 50, 5.0, 2));
}

TEST_CASE("evaluation says when the text is too short for a length") {
    const options o = short_run();
    const corpus text = rhyme(o.context);
    const transformer<float> model(
        {text.vocabulary_size(), o.layers, o.heads, o.width, o.context, score_scale::standard});
    flat_vector<float> parameters(std::size_t(model.parameter_count()));
    model.initialise(parameters, o.seed);
    team workers(1);
    const auto held_out = static_cast<index>(text.validation().size());
    const auto at = [&](index length) {
        return evaluate(model, parameters, text.validation(), length, length, 4,
                        score_scale::standard, workers);
    };
    CHECK(at(held_out - 1));
    CHECK_FALSE(at(held_out));
}

TEST_CASE("AdamW makes the steps of its paper") {
    const adamw::settings s{};
    adamw optimiser(1, s);
    flat_vector<float> parameter{1.5F};
    const float rate = 0.01F;
    double p = 1.5, m = 0, v = 0;
    for (int step = 1; step <= 5; ++step) {
        const flat_vector<float> gradient{0.3F * float(step)};
        optimiser.next_step();
        optimiser.update(parameter, gradient, 0.5F, rate, true, 0, 1);
        const double g = 0.15 * step;
        m = double(s.beta_1) * m + (1 - double(s.beta_1)) * g;
        v = double(s.beta_2) * v + (1 - double(s.beta_2)) * g * g;
        const double m_hat = m / (1 - std::pow(double(s.beta_1), step));
        const double v_hat = v / (1 - std::pow(double(s.beta_2), step));
        p -= double(rate) *
             (m_hat / (std::sqrt(v_hat) + double(s.epsilon)) + double(s.weight_decay) * p);
        CHECK(std::abs(double(parameter[0]) - p) < 1e-5);
    }
}

}  // namespace test_training
}  // namespace char_lm
