// Tokens from logits: likeliest, or drawn with a temperature, top-k, top-p and min-p; a text draws
// the same tokens alone and in a batch.
#include <iostream>
#include <limits>

#include <heed/heed.hpp>

int main() {
    // What a model of six tokens might say after each of three texts. The last token is forbidden.
    Eigen::MatrixXf logits(3, 6);
    logits << 2, 1, 0.5F, 0, -1, 9, 0, 3, 3, -2, 0, 9, -1, 0, 1, 2, 2.5F, 9;
    logits.col(5).setConstant(-std::numeric_limits<float>::infinity());
    std::cout << "likeliest: " << heed::greedy(logits).transpose() << '\n';
    bool right = heed::greedy(logits)(1) == 1;  // of equal ones the first

    // Of each text's distribution 20 000 draws.
    const auto sample = heed::sample.temperature(0.9).top_k(4).top_p(0.95);
    Eigen::MatrixXd drawn = Eigen::MatrixXd::Zero(3, 6);
    const int steps = 20000;
    for (int step = 0; step < steps; ++step) {
        const auto tokens = sample(logits, {.seed = 7, .step = step});
        for (int text = 0; text < 3; ++text) drawn(text, tokens(text)) += 1.0 / steps;
        // The second text alone: its id says which one it is.
        const Eigen::RowVectorXf alone = logits.row(1);
        right &= sample(alone, {.seed = 7, .row = 1, .step = step}) == tokens(1);
    }
    std::cout << "frequencies:\n" << drawn << '\n';

    // The first text: the four likeliest have shares of 0.61, 0.20, 0.12 and 0.07; three of them
    // fall short of 0.95.
    const Eigen::RowVector4f best = logits.row(0).head<4>();
    const Eigen::RowVector4f p = heed::softmax.temperature(0.9)(best);
    right &= (drawn.row(0).head<4>() - p.cast<double>()).cwiseAbs().maxCoeff() < 0.02;
    right &= drawn(0, 4) == 0 && drawn.col(5).sum() == 0;
    return right ? 0 : 1;
}
