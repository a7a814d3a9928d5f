#pragma once

#include <cstdint>

#include "cluster.hpp"
#include "ring.hpp"

/// \file
/// A training step of char_lm's transformer that all ranks take together is the step of one
/// process.

namespace context_parallel {

/// The largest differences, each over the largest number that there is.
struct step_differences {
    double loss = 0;
    double gradients = 0;  ///< of every parameter
    double weights = 0;    ///< after the step
};

/// Of a model of so many layers on random characters, which every rank draws from the seed, and on
/// all ranks the same. settings.model says the batch, the heads (each with keys of its own) and
/// their dim.
///
/// A rank runs the model over its own tokens, with ring_layer for attention, and the gradients of
/// the parameters are summed over ranks; then each takes a step of AdamW.
step_differences compare_training_step(const cluster& ranks, const ring_settings& settings,
                                       index layers, std::uint64_t seed);

}  // namespace context_parallel
