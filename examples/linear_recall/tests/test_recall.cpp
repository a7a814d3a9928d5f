#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "attentions.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "recall.hpp"
#include "support/catch.hpp"

/// The task is what it says, and a model with exact attention learns it in the steps of --quick.

namespace linear_recall {

namespace test_recall {

using char_lm::not_scored;

TEST_CASE("a window tells pairs of different keys and asks for their values alone") {
    const recall_task task{.keys = 9, .values = 5, .length = 40, .pairs = {9}};
    std::mt19937_64 engine(1);
    char_lm::training_batch batch;
    for (int w = 0; w < 20; ++w) {
        const auto first = batch.inputs.size();
        add_window(task, 9, engine, batch);
        REQUIRE(batch.inputs.size() == first + 40);
        REQUIRE(batch.targets.size() == first + 40);
        std::map<token, token> told;
        for (std::size_t t = first; t < first + 18; t += 2) {
            CHECK(batch.inputs[t] < 9);
            CHECK(batch.inputs[t + 1] >= 9);
            CHECK(batch.inputs[t + 1] < 14);
            CHECK(batch.targets[t] == not_scored);
            CHECK(batch.targets[t + 1] == not_scored);
            told[batch.inputs[t]] = batch.inputs[t + 1];
        }
        CHECK(told.size() == 9);
        for (std::size_t t = first + 18; t < first + 40; ++t)
            CHECK(batch.targets[t] == told.at(batch.inputs[t]));
    }
}

TEST_CASE("training draws windows with each number of pairs") {
    const recall_task task{.length = 20, .pairs = {2, 3, 7}};
    std::mt19937_64 engine(1);
    char_lm::training_batch batch;
    windows_of(task)(60, engine, batch);
    REQUIRE(batch.targets.size() == 60 * 20);
    std::set<index> seen;
    for (std::size_t w = 0; w < 60; ++w) {
        const auto from = batch.targets.begin() + static_cast<index>(20 * w);
        seen.insert(std::count(from, from + 20, not_scored) / 2);
    }
    CHECK(seen == std::set<index>{2, 3, 7});
}

TEST_CASE("with exact attention the steps of --quick learn to recall, far above chance") {
    char program[] = "linear_recall", quick[] = "--quick";
    char* arguments[] = {program, quick};
    int status = 0;
    const auto o = read_options(2, arguments, status);
    REQUIRE(o);
    const experiment& how = o->how;
    auto sizes = how.sizes;
    sizes.vocabulary = how.recall.vocabulary();
    sizes.context = how.recall.length;
    const char_lm::transformer<float> model(sizes, char_lm::attention_by_name("softmax"));
    char_lm::flat_vector<float> parameters(std::size_t(model.parameter_count()));
    model.initialise(parameters, how.training.seed);
    char_lm::team threads(2);
    const auto before = measure(model, parameters, how.recall, 4, 16, threads);
    CHECK(before.accuracy < 0.1);
    char_lm::train(model, parameters, windows_of(how.recall), how.training, threads,
                   [](const auto&) {});
    const auto after = measure(model, parameters, how.recall, 4, 16, threads);
    CHECK(after.accuracy > 0.35);  // by chance 0.03, among the values told 0.25
    CHECK(after.loss < before.loss);
}

}  // namespace test_recall
}  // namespace linear_recall
