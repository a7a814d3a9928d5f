#pragma once

#include <cstdint>
#include <optional>

#include "ring.hpp"

namespace context_parallel {

/// What the command line can say, with what holds when it says nothing.
struct options {
    bool measures = false;  ///< times the ring; otherwise compares it with one process
    bool trains = false;    ///< instead of attention alone, compares a step of char_lm's model
    index layers = 2;       ///< of that model
    int rounds = 3;         ///< of a measurement
    std::uint64_t seed = 1;
    ring_settings ring;
};

/// Reads the command line. Empty when the program should end with `status` at once. What is wrong
/// with it every rank sees; one of them `says` so.
std::optional<options> read_options(int count, char** arguments, bool says, int& status);

}  // namespace context_parallel
