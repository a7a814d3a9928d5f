#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "trainer.hpp"

namespace char_lm {

/// A range that --help does not spell out: the message of a value outside does.
template <class Number>
CLI::Validator between(Number least, Number most) {
    return CLI::Range(least, most).description("");
}

/// The options of training, in a group of --help. `seed` says what the seed is of.
void add_training_options(CLI::App& app, training_settings& settings, const std::string& group,
                          const std::string& seed);

}  // namespace char_lm
