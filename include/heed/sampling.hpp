#pragma once

/// \file
/// Tokens from logits.

#include <heed/softmax/sampling/greedy.hpp>
#include <heed/softmax/sampling/sample.hpp>
