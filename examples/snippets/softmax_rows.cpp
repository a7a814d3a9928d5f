// Softmax alone: the rows of any matrix, in place, and one gradient step through it.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    // Which of three classes four things are, before any training: column-major, Eigen's default.
    Eigen::MatrixXf logits(4, 3);
    logits << 2, -1, 0.5f, 0, 0, 0, -3, 1, 1, 100, 99, 98;
    Eigen::MatrixXf target = Eigen::MatrixXf::Zero(4, 3);
    target(0, 2) = target(1, 0) = target(2, 1) = target(3, 1) = 1;

    const Eigen::MatrixXf p = heed::softmax(logits);  // each row sums to 1
    std::cout << "p =\n" << p << "\n";
    bool right = (p.rowwise().sum().array() - 1).abs().maxCoeff() < 1e-6f;
    right &= std::abs(p(1, 2) - 1 / 3.f) < 1e-6f;

    // A step down the gradient of −log p of the targets, through log-softmax.
    const auto loss = [&] { return -heed::log_softmax(logits).cwiseProduct(target).sum(); };
    const float before = loss();
    const Eigen::MatrixXf y = heed::log_softmax(logits);
    logits -= 0.5f * heed::log_softmax.backward(logits, y, -target);
    std::cout << "loss " << before << ", after a step " << loss() << "\n";
    right &= loss() < before;

    // A smooth maximum a row; colder is nearer to the true one.
    const Eigen::VectorXf smooth = heed::log_sum_exp.temperature(0.1)(logits);
    std::cout << "smooth maxima " << smooth.transpose() << "\n";
    right &= (smooth - logits.rowwise().maxCoeff()).cwiseAbs().maxCoeff() < 0.1f;

    // In place, on part of a matrix, with a temperature; and on one vector, a column or not.
    heed::softmax.temperature(2).into(logits.topRows(2), logits.topRows(2));
    const Eigen::Vector3f last = heed::softmax(Eigen::Vector3f(1, 2, 3));
    right &= std::abs(logits.row(0).sum() - 1) < 1e-6f && std::abs(last.sum() - 1) < 1e-6f;
    return right ? 0 : 1;
}
