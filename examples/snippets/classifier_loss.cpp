// A linear classifier from seeded weights: loss and gradient at once, over the logits themselves.
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

int main() {
    constexpr int features = 8, classes = 4, examples = 64;
    // Examples whose first `classes` features say which class they are.
    Eigen::MatrixXf x(examples, features), w(features, classes);
    heed::init::deviation(0.5).into(x, 1);
    std::vector<int> labels(examples);
    for (int i = 0; i < examples; ++i) {
        labels[static_cast<std::size_t>(i)] = i % classes;
        x(i, i % classes) += 2;
    }
    labels[5] = -100;  // one that nobody has labelled
    heed::init::lecun.into(w, 42);

    const auto loss = heed::cross_entropy.label_smoothing(0.05).ignored_label(-100);
    const float before = loss(x * w, labels);
    float now = before;
    for (int step = 0; step < 200; ++step) {
        Eigen::MatrixXf logits = x * w;
        loss.gradient_into(now, logits, logits, labels);
        w -= 0.5f * x.transpose() * logits;
    }
    const Eigen::VectorXf entropy = heed::measure::shannon_entropy(heed::softmax(x * w));
    std::cout << "loss " << before << " → " << now << ", entropy of the first " << entropy(0)
              << "\n";
    return now < 0.5f && now < before && entropy(0) < 1 ? 0 : 1;
}
