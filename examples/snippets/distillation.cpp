// A small classifier learns what a larger one says, all of its probabilities and not its first
// choice alone; then labels of which one class is rare, and counts more.
#include <cmath>
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

int main() {
    constexpr int features = 6, classes = 3, examples = 90;
    Eigen::MatrixXd x = Eigen::MatrixXd::Random(examples, features);
    const Eigen::MatrixXd teacher = 2 * Eigen::MatrixXd::Random(features, classes);
    const Eigen::MatrixXd says = heed::softmax.temperature(2)(x * teacher);

    Eigen::MatrixXd w = Eigen::MatrixXd::Zero(features, classes);
    for (int step = 0; step < 300; ++step) {
        const Eigen::MatrixXd logits = x * w / 2;  // the student's temperature is 2 too
        const auto [loss, d_logits] = heed::soft_cross_entropy.with_gradient(logits, says);
        w -= 4 * x.transpose() * d_logits / 2;
    }
    const Eigen::MatrixXd p = heed::softmax.temperature(2)(x * w);
    const double away = (p - says).cwiseAbs().maxCoeff();
    std::cout << "the student is at most " << away << " away from its teacher\n";

    // One example in 30 is of class 2. With its weight it counts as much as the others together.
    std::vector<int> labels(examples);
    for (int i = 0; i < examples; ++i)
        labels[static_cast<std::size_t>(i)] = i % 30 == 0 ? 2 : i % 2;
    const Eigen::VectorXd weights = Eigen::Vector3d(1, 1, 29);
    const auto weighted = heed::cross_entropy.class_weights(weights);
    Eigen::RowVectorXd bias = Eigen::RowVectorXd::Zero(classes);
    for (int step = 0; step < 500; ++step) {
        const Eigen::MatrixXd logits = bias.replicate(examples, 1);
        bias -= weighted.with_gradient(logits, labels).gradient.colwise().sum();
    }
    const Eigen::RowVectorXd share = heed::softmax(bias);
    std::cout << "shares of the classes: " << share << '\n';
    return away < 0.02 && std::abs(share(2) - 0.5) < 1e-3 ? 0 : 1;
}
