#include "generate.hpp"

#include <algorithm>
#include <random>

namespace char_lm {

namespace {

/// One character of softmax(logits/temperature): the first at which the running sum of
/// probabilities passes a random share of the whole.
token draw(const matrix<float>& logits, double temperature, std::mt19937_64& engine) {
    const Eigen::ArrayXd x = logits.row(0).cast<double>().transpose().array() / temperature;
    const Eigen::ArrayXd p = (x - x.maxCoeff()).exp();
    const double share = std::uniform_real_distribution<double>(0, p.sum())(engine);
    double sum = 0;
    for (index c = 0; c < p.size(); ++c)
        if ((sum += p[c]) > share) return static_cast<token>(c);
    return static_cast<token>(p.size() - 1);
}

}  // namespace

std::vector<token> generate(const transformer<float>& model, std::span<const float> parameters,
                            std::span<const token> prompt, index count, double temperature,
                            std::uint64_t seed) {
    const index context = model.sizes().context;
    std::mt19937_64 engine(seed);
    auto seen = model.make_cache(context);
    std::vector<token> text(prompt.begin(), prompt.end());
    std::size_t fed = 0;  // characters of the text that the model has seen
    while (static_cast<index>(text.size() - prompt.size()) < count) {
        if (seen.length == context) {
            seen.clear();
            fed = text.size() - static_cast<std::size_t>(context / 2);
        }
        const auto& logits = model.step(parameters, text[fed++], seen);
        if (fed == text.size()) text.push_back(draw(logits, temperature, engine));
    }
    text.erase(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(prompt.size()));
    return text;
}

}  // namespace char_lm
