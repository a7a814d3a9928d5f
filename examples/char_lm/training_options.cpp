#include "training_options.hpp"

namespace char_lm {

void add_training_options(CLI::App& app, training_settings& settings, const std::string& group,
                          const std::string& seed) {
    app.add_option("--seconds", settings.seconds, "Time to train")
        ->check(between(0.1, 1e6))
        ->type_name("S")
        ->group(group);
    app.add_option("--steps", settings.steps, "Steps to train instead: the same on every run")
        ->check(between(std::ptrdiff_t{0}, std::ptrdiff_t{100'000'000}))
        ->type_name("N")
        ->group(group);
    app.add_option("--batch", settings.batch, "Windows of text in a step")
        ->check(between(1, 4096))
        ->type_name("N")
        ->group(group);
    app.add_option("--learning-rate", settings.learning_rate, "Highest step size of AdamW")
        ->check(between(1e-8, 1.0))
        ->type_name("X")
        ->group(group);
    app.add_option("--seed", settings.seed, seed)->type_name("N")->group(group);
}

}  // namespace char_lm
