#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "corpus.hpp"
#include "model.hpp"
#include "options.hpp"
#include "team.hpp"

namespace char_lm {

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
/// summed in the shards' order, so with --steps a run gives the same numbers again, for any number
/// of threads.
void train(const transformer<float>& model, flat_vector<float>& parameters, const corpus& text,
           const options& o, team& threads,
           const std::function<void(const training_state&)>& watch);

}  // namespace char_lm
