#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "corpus.hpp"
#include "model.hpp"
#include "team.hpp"

namespace char_lm {

/// Windows one behind the other, and what follows each of their tokens.
struct training_batch {
    std::vector<token> inputs, targets;
};

/// Appends so many windows to a batch, of the model's training length each.
using batch_source =
    std::function<void(index windows, std::mt19937_64& engine, training_batch& batch)>;

/// Windows of a text at random places; `repeating` is the share that repeats a piece of it.
batch_source windows_of(const corpus& text, index context, double repeating);

struct training_settings {
    double seconds = 60;
    index steps = 0;              ///< 0: as many as fit into `seconds`
    index batch = 8;              ///< windows of text in a step
    double repeating = 0;         ///< share of the windows that repeat a piece of text
    double learning_rate = 3e-3;  ///< the highest
    std::uint64_t seed = 1;       ///< of the windows
};

/// How training stands after a step.
struct training_state {
    index step = 0;
    double fraction = 0;  ///< of the training that is done
    double seconds = 0;
    double loss = 0;             ///< nats a character, of this step's batch
    double tokens_a_second = 0;  ///< since the start
};

/// Trains `parameters` in place on what `draw` gives, calling `watch` after every step.
///
/// A batch is cut into shards of a few windows. Each shard has gradients of its own, and they are
/// summed in the shards' order, so with settings.steps a run gives the same numbers again, for any
/// number of threads.
void train(const transformer<float>& model, flat_vector<float>& parameters,
           const batch_source& draw, const training_settings& settings, team& threads,
           const std::function<void(const training_state&)>& watch);

/// Trains on the windows of a text.
void train(const transformer<float>& model, flat_vector<float>& parameters, const corpus& text,
           const training_settings& settings, team& threads,
           const std::function<void(const training_state&)>& watch);

}  // namespace char_lm
