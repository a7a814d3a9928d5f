#include "experiment.hpp"

#include <algorithm>
#include <cstdio>

#include "attentions.hpp"

namespace linear_recall {

using model = char_lm::transformer<float>;

namespace {

/// What training left behind.
struct trained_parameters {
    char_lm::flat_vector<float> values;
    std::vector<loss_point> curve;
    double step_milliseconds = 0;
};

trained_parameters learn(const model& m, const char_lm::batch_source& draw,
                         const char_lm::training_settings& settings, char_lm::team& threads,
                         const std::function<void(double)>& watch) {
    constexpr index points = 50;  // of the curve
    trained_parameters result;
    result.values.resize(std::size_t(m.parameter_count()));
    m.initialise(result.values, settings.seed);
    std::vector<double> steps;
    double smooth = 0, seconds = 0;
    char_lm::train(
        m, result.values, draw, settings, threads, [&](const char_lm::training_state& state) {
            const double keep = std::min(0.95, 1 - 1 / double(state.step));
            smooth = keep * smooth + (1 - keep) * state.loss;
            steps.push_back(1e3 * (state.seconds - seconds));
            seconds = state.seconds;
            if (state.step * points / settings.steps > (state.step - 1) * points / settings.steps)
                result.curve.push_back({state.step, smooth});
            watch(state.fraction);
        });
    const auto tenth = steps.begin() + static_cast<index>(steps.size() / 10);
    std::nth_element(steps.begin(), tenth, steps.end());
    result.step_milliseconds = *tenth;
    return result;
}

}  // namespace

measurement measure_attention(const experiment& how, const std::string& attention,
                              const char_lm::corpus& text, char_lm::team& threads,
                              const std::function<void(double, const std::string&)>& watch) {
    const auto make_attention = char_lm::attention_by_name(attention);
    const recall_task& task = how.recall;
    char_lm::architecture sizes = how.sizes;
    sizes.context = task.length;
    sizes.vocabulary = task.vocabulary();
    const model of_recall(sizes, make_attention);
    sizes.vocabulary = text.vocabulary_size();
    const model of_text(sizes, make_attention);

    measurement result{.attention = attention, .state_size = of_recall.state_size(task.length)};
    const auto recalling =
        learn(of_recall, windows_of(task), how.training, threads,
              [&](double fraction) { watch(fraction / 2, attention + ", recall"); });
    for (const index pairs : task.pairs)
        result.recall.push_back(
            measure(of_recall, recalling.values, task, pairs, how.windows, threads));
    result.recall_curve = recalling.curve;

    const auto reading =
        learn(of_text, char_lm::windows_of(text, task.length, 0), how.training, threads,
              [&](double fraction) { watch(0.5 + fraction / 2, attention + ", text"); });
    result.text = char_lm::evaluate(
        of_text, reading.values,
        char_lm::spread_windows(text.validation(), task.length, task.length, how.windows),
        task.length, char_lm::score_scale::standard, threads);
    result.text_curve = reading.curve;
    result.step_milliseconds = reading.step_milliseconds;
    return result;
}

}  // namespace linear_recall
