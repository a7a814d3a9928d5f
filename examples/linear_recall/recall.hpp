#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate.hpp"
#include "model.hpp"
#include "team.hpp"
#include "trainer.hpp"

/// \file
/// Associative recall with many queries (MQAR, arXiv 2312.04927): what a model has been told of a
/// key, it is to say when it sees the key again.

namespace linear_recall {

using char_lm::index;
using char_lm::token;

/// A window is key value key value …, `pairs` of them with keys all different, then queries to its
/// end: keys from among those. What follows a query is its key's value; nothing else is scored.
/// Keys are the first tokens of the vocabulary, values those behind them.
struct recall_task {
    index keys = 32;    ///< of the vocabulary
    index values = 32;  ///< behind them
    index length = 128;
    std::vector<index> pairs{4, 8, 16, 32};  ///< in training one of these at random

    [[nodiscard]] index vocabulary() const { return keys + values; }
};

/// Appends a window with so many pairs.
void add_window(const recall_task& task, index pairs, std::mt19937_64& engine,
                char_lm::training_batch& batch);

/// Windows to train on.
char_lm::batch_source windows_of(const recall_task& task);

/// How many of the answers are right, over `windows` windows with so many pairs each: the same ones
/// for every model.
char_lm::score measure(const char_lm::transformer<float>& model, std::span<const float> parameters,
                       const recall_task& task, index pairs, index windows, char_lm::team& threads);

}  // namespace linear_recall
