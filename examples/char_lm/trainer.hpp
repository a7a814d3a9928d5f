#pragma once

#include <cstdint>
#include <functional>

#include "corpus.hpp"
#include "model.hpp"
#include "team.hpp"

namespace char_lm {

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

/// Trains `parameters` in place, calling `watch` after every step.
///
/// A batch is cut into shards of a few windows. Each shard has gradients of its own, and they are
/// summed in the shards' order, so with settings.steps a run gives the same numbers again, for any
/// number of threads.
void train(const transformer<float>& model, flat_vector<float>& parameters, const corpus& text,
           const training_settings& settings, team& threads,
           const std::function<void(const training_state&)>& watch);

}  // namespace char_lm
