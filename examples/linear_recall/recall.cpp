#include "recall.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <utility>

namespace linear_recall {

using char_lm::score;
using model = char_lm::transformer<float>;

namespace {

std::size_t below(index limit, std::mt19937_64& engine) {
    return engine() % static_cast<std::size_t>(limit);
}

}  // namespace

void add_window(const recall_task& task, index pairs, std::mt19937_64& engine,
                char_lm::training_batch& batch) {
    const auto say = [&](index input, index target) {
        batch.inputs.push_back(static_cast<token>(input));
        batch.targets.push_back(static_cast<token>(target));
    };
    std::vector<index> keys(std::size_t(task.keys)), values;
    std::iota(keys.begin(), keys.end(), index(0));
    for (index p = 0; p < pairs; ++p) {
        std::swap(keys[std::size_t(p)], keys[std::size_t(p) + below(task.keys - p, engine)]);
        values.push_back(task.keys + static_cast<index>(below(task.values, engine)));
        say(keys[std::size_t(p)], char_lm::not_scored);
        say(values.back(), char_lm::not_scored);
    }
    for (index t = 2 * pairs; t < task.length; ++t) {
        const std::size_t p = below(pairs, engine);
        say(keys[p], values[p]);
    }
}

char_lm::batch_source windows_of(const recall_task& task) {
    return [task](index windows, std::mt19937_64& engine, char_lm::training_batch& batch) {
        for (index w = 0; w < windows; ++w) {
            const std::size_t which = below(index(task.pairs.size()), engine);
            add_window(task, task.pairs[which], engine, batch);
        }
    };
}

score measure(const model& trained, std::span<const float> parameters, const recall_task& task,
              index pairs, index windows, char_lm::team& threads) {
    std::mt19937_64 engine(static_cast<std::uint64_t>(pairs));
    char_lm::training_batch all;
    for (index w = 0; w < windows; ++w) add_window(task, pairs, engine, all);

    const auto length = std::size_t(task.length);
    std::vector<score> sums(static_cast<std::size_t>(windows));
    std::vector<std::shared_ptr<model::workspace>> work;
    for (int i = 0; i < threads.size(); ++i) work.push_back(trained.make_workspace());
    threads.share(windows, [&](int member, index w) {
        const auto first = std::size_t(w) * length;
        const auto& logits =
            trained.infer(parameters, std::span(all.inputs).subspan(first, length), 1,
                          char_lm::score_scale::standard, *work[std::size_t(member)]);
        score& sum = sums[std::size_t(w)];
        for (index t = 2 * pairs; t < task.length; ++t) {
            const score one = char_lm::score_of(logits, t, all.targets[first + std::size_t(t)]);
            sum.accuracy += one.accuracy;
            sum.loss += one.loss;
        }
    });
    score mean;
    const double answers = double(windows) * double(task.length - 2 * pairs);
    for (const score& sum : sums) {
        mean.accuracy += sum.accuracy / answers;
        mean.loss += sum.loss / answers;
    }
    return mean;
}

}  // namespace linear_recall
