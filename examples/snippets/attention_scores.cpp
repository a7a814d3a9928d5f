// The scores of a small attention before and behind its modifiers, and the probabilities that
// softmax makes of them.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 8), k(4, 8);
    q.setRandom();
    k.setRandom();
    const auto cap = heed::soft_cap(0.5);
    const auto before = heed::attention_scores(q, k, heed::causal);
    const auto behind = heed::attention_scores(q, k, heed::causal, cap);
    const auto p = heed::attention_weights(q, k, heed::causal, cap);

    bool right = true;
    for (int i = 0; i < 4; ++i) {
        float sum = 0;
        for (int j = 0; j <= i; ++j) sum += std::exp(behind(0, 0, i, j));
        for (int j = 0; j < 4; ++j) {
            const float s = before(0, 0, i, j), capped = behind(0, 0, i, j);
            std::cout << s << " -> " << capped << (j < 3 ? ",  " : "\n");
            right = right && std::abs(std::exp(capped) / sum - p(0, 0, i, j)) < 1e-6F;
            right = right && (j <= i ? std::abs(capped - 0.5F * std::tanh(s / 0.5F)) < 1e-6F
                                     : std::isinf(s) && std::isinf(capped));  // not seen
        }
    }
    return right ? 0 : 1;
}
