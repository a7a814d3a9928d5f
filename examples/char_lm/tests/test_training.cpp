#include <cmath>
#include <string>
#include <vector>

#include "evaluate.hpp"
#include "generate.hpp"
#include "normalisers.hpp"
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

const training_settings short_run{.steps = 60, .learning_rate = 2e-2, .seed = 7};

transformer<float> small_model(const corpus& text) {
    return {
        {.vocabulary = text.vocabulary_size(), .layers = 1, .heads = 2, .width = 16, .context = 16},
        attention_with_normaliser("softmax")};
}

flat_vector<float> trained(const transformer<float>& model, const corpus& text, int threads) {
    flat_vector<float> parameters(std::size_t(model.parameter_count()));
    model.initialise(parameters, short_run.seed);
    team workers(threads);
    train(model, parameters, text, short_run, workers, [](const training_state&) {});
    return parameters;
}

TEST_CASE("training learns a rhyme, with the same bits for any number of threads") {
    const corpus text = rhyme(16);
    const auto model = small_model(text);
    const auto one = trained(model, text, 1);
    CHECK((one == trained(model, text, 1)));
    CHECK((one == trained(model, text, 2)));
    CHECK((one == trained(model, text, 3)));

    team workers(2);
    const auto windows = spread_windows(text.validation(), 16, 16, 8);
    REQUIRE(windows.size() == 8);
    const score learnt = evaluate(model, one, windows, 16, score_scale::standard, workers);
    CHECK(learnt.loss < text.entropy(1));
    CHECK(learnt.accuracy > 0.7);

    const auto prompt = text.validation().first(5);
    const auto sample = generate(model, one, prompt, 50, 0.5, 1);
    CHECK(sample.size() == 50);
    CHECK(sample == generate(model, one, prompt, 50, 0.5, 1));
    CHECK(sample != generate(model, one, prompt, 50, 5.0, 2));
}

TEST_CASE("windows are spread over a text from end to end") {
    const corpus text = rhyme(16);
    const auto held_out = text.validation();
    const auto size = static_cast<index>(held_out.size());
    const auto three = spread_windows(held_out, 20, 16, 3);
    REQUIRE(three.size() == 3);
    CHECK(three.front().data() == held_out.data());
    CHECK(three.back().data() + 21 == held_out.data() + size);
    for (const auto& window : three) CHECK(window.size() == 21);
    CHECK(spread_windows(held_out, size - 1, 16, 3).size() == 1);
    CHECK(spread_windows(held_out, size, 16, 3).empty());
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
