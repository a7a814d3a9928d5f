#include "generate.hpp"

#include <algorithm>
#include <chrono>

#include <heed/softmax/sampling/greedy.hpp>
#include <heed/softmax/sampling/sample.hpp>

namespace decoder {

namespace {

/// From one row of logits. The text's number and the token's place in it decide, and nothing else.
token draw(const Eigen::RowVectorXf& logits, const sampling& how, std::size_t text, index step) {
    if (how.temperature == 0) return static_cast<token>(heed::greedy(logits));
    const auto sample = heed::sample.temperature(how.temperature)
                            .top_k(how.top_k)
                            .top_p(how.top_p)
                            .min_p(how.min_p);
    return static_cast<token>(
        sample(logits, {.seed = how.seed, .row = static_cast<index>(text), .step = step}));
}

}  // namespace

generated generate(const transformer& model, std::span<const std::vector<token>> prompts,
                   index count, const sampling& how, precision cache, const heed::on_pool& threads,
                   const std::function<void(std::size_t, token)>& told) {
    using clock = std::chrono::steady_clock;
    for (const auto& prompt : prompts)
        model.check_length(static_cast<index>(prompt.size()) + count);
    std::vector<text_cache> caches;
    std::vector<std::size_t> going_on;  // numbers of texts that have not ended
    for (std::size_t text = 0; text < prompts.size(); ++text) {
        caches.push_back(model.make_cache(cache));
        going_on.push_back(text);
    }
    generated result;
    result.texts.resize(prompts.size());
    const auto& ends = model.sizes().ends;
    auto began = clock::now();
    for (index step = 0; step < count && !going_on.empty(); ++step) {
        std::vector<piece> pieces;
        for (const std::size_t text : going_on) {
            const auto& written = result.texts[text];
            pieces.push_back(
                {&caches[text], step == 0 ? std::span(prompts[text]) : std::span(written).last(1)});
            (step == 0 ? result.read : result.written) +=
                static_cast<index>(pieces.back().tokens.size());
        }
        const matrix logits = model.read(pieces, wanted::last_of_each, threads);
        std::vector<std::size_t> remaining;
        for (std::size_t row = 0; row < going_on.size(); ++row) {
            const std::size_t text = going_on[row];
            const token t = draw(logits.row(static_cast<index>(row)), how, text, step);
            if (std::find(ends.begin(), ends.end(), t) != ends.end()) continue;
            result.texts[text].push_back(t);
            remaining.push_back(text);
            if (told) told(text, t);
        }
        going_on = std::move(remaining);
        const auto now = clock::now();
        (step == 0 ? result.read_seconds : result.write_seconds) +=
            std::chrono::duration<double>(now - began).count();
        began = now;
    }
    return result;
}

}  // namespace decoder
