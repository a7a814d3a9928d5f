#pragma once

#include <functional>
#include <span>

#include "transformer.hpp"

namespace decoder {

/// e to the mean of −log p of each token after those before it, in windows of at most `window`
/// tokens that are read alone; the first of a window is not predicted. Throws std::invalid_argument
/// where nothing is left to predict. `progress` is told which fraction is done.
double perplexity(const transformer& model, std::span<const token> text, index window,
                  precision cache, const heed::on_pool& threads,
                  const std::function<void(double)>& progress = {});

}  // namespace decoder
