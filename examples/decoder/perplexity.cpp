#include "perplexity.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include <heed/softmax/losses/cross_entropy.hpp>

namespace decoder {

double perplexity(const transformer& model, std::span<const token> text, index window,
                  precision cache, const heed::on_pool& threads,
                  const std::function<void(double)>& progress) {
    constexpr std::size_t rows = 128;  // logits at a time: a vocabulary may be large
    double sum = 0;
    index predicted = 0;
    for (std::size_t begin = 0; begin + 1 < text.size(); begin += std::size_t(window)) {
        const auto tokens = text.subspan(begin, std::min(std::size_t(window), text.size() - begin));
        text_cache read = model.make_cache(cache);
        for (std::size_t at = 0; at + 1 < tokens.size(); at += rows) {
            const std::size_t count = std::min(rows, tokens.size() - 1 - at);
            const piece now{&read, tokens.subspan(at, count)};
            const matrix logits = model.read({&now, 1}, wanted::all, threads);
            const auto next = tokens.subspan(at + 1, count);
            const std::vector<token> labels(next.begin(), next.end());
            sum += double(heed::cross_entropy.sum()(logits, labels));
            predicted += static_cast<index>(count);
            if (progress) progress(double(begin + at + count) / double(text.size()));
        }
    }
    if (predicted == 0)
        throw std::invalid_argument("a text of " + std::to_string(text.size()) +
                                    " tokens leaves nothing to predict");
    return std::exp(sum / double(predicted));
}

}  // namespace decoder
