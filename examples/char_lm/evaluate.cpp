#include "evaluate.hpp"

#include <algorithm>
#include <cmath>

namespace char_lm {

std::optional<score> evaluate(const transformer<float>& model, std::span<const float> parameters,
                              std::span<const token> text, index length, index longest,
                              index stretches, score_scale scale, team& threads) {
    const index scored = model.sizes().context;
    const auto characters = static_cast<index>(text.size());
    stretches = std::min(stretches, (characters - longest - 1) / scored + 1);
    if (characters < longest + 1 || stretches < 1) return std::nullopt;

    // Stretches are spread evenly over the text; the last one ends where the text ends.
    std::vector<score> sums(static_cast<std::size_t>(stretches));
    std::vector<std::shared_ptr<transformer<float>::workspace>> work;
    for (int i = 0; i < threads.size(); ++i) work.push_back(model.make_workspace());
    threads.share(stretches, [&](int member, index s) {
        const index room = characters - longest - 1;
        const index end = longest + (stretches > 1 ? room * s / (stretches - 1) : room);
        const auto inputs = text.subspan(std::size_t(end - length), std::size_t(length));
        const auto& logits = model.infer(parameters, inputs, 1, scale, *work[std::size_t(member)]);
        score& sum = sums[std::size_t(s)];
        for (index i = length - scored; i < length; ++i) {
            const index target = text[std::size_t(end - length + i + 1)];
            const auto row = logits.row(i).array();
            index best = 0;
            const float highest = row.maxCoeff(&best);
            sum.accuracy += best == target ? 1 : 0;
            sum.loss += double(std::log((row - highest).exp().sum()) + highest - row[target]);
        }
    });

    score mean;
    for (const score& sum : sums) {
        mean.accuracy += sum.accuracy / double(stretches * scored);
        mean.loss += sum.loss / double(stretches * scored);
    }
    return mean;
}

}  // namespace char_lm
