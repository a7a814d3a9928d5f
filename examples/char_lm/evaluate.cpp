#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace char_lm {

score score_of(const matrix<float>& logits, index row, index target) {
    const auto x = logits.row(row).array();
    index best = 0;
    const float highest = x.maxCoeff(&best);
    return {best == target ? 1.0 : 0.0,
            double(std::log((x - highest).exp().sum()) + highest - x[target])};
}

std::vector<text_window> spread_windows(std::span<const token> text, index length, index scored,
                                        index count) {
    const index room = static_cast<index>(text.size()) - length - 1;
    std::vector<text_window> windows;
    if (room < 0) return windows;
    count = std::min(count, room / scored + 1);
    for (index w = 0; w < count; ++w) {
        const index first = count > 1 ? room * w / (count - 1) : room;
        windows.push_back(text.subspan(std::size_t(first), std::size_t(length) + 1));
    }
    return windows;
}

score evaluate(const transformer<float>& model, std::span<const float> parameters,
               const std::vector<text_window>& windows, index length, score_scale scale,
               team& threads) {
    const index scored = std::min(length, model.sizes().context);
    std::vector<score> sums(windows.size());
    std::vector<std::shared_ptr<transformer<float>::workspace>> work;
    for (int i = 0; i < threads.size(); ++i) work.push_back(model.make_workspace());
    threads.share(static_cast<index>(windows.size()), [&](int member, index w) {
        const auto window = windows[std::size_t(w)].last(std::size_t(length) + 1);
        const auto& logits = model.infer(parameters, window.first(std::size_t(length)), 1, scale,
                                         *work[std::size_t(member)]);
        score& sum = sums[std::size_t(w)];
        for (index i = length - scored; i < length; ++i) {
            const index target = window[std::size_t(i) + 1];
            const score one = score_of(logits, i, target);
            sum.accuracy += one.accuracy;
            sum.loss += one.loss;
        }
    });

    score mean;
    const double characters = double(windows.size()) * double(scored);
    for (const score& sum : sums) {
        mean.accuracy += sum.accuracy / characters;
        mean.loss += sum.loss / characters;
    }
    return mean;
}

}  // namespace char_lm
