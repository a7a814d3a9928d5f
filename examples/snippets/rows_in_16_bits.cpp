// A step of a model's last layer on bfloat16 rows: norm, logits, loss and the way back. Rows are
// rounded once, what parameters learn is float.
#include <cmath>
#include <iostream>
#include <utility>
#include <vector>

#include <heed/heed.hpp>

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const int tokens = 6, dim = 40;
    const matrix<float> numbers = matrix<float>::Random(tokens, dim) * 3;
    const matrix<Eigen::bfloat16> x = numbers.cast<Eigen::bfloat16>();
    const Eigen::VectorXf gamma = Eigen::VectorXf::Ones(dim);
    const std::vector<int> labels{3, 1, 4, 1, 5, 9};

    const auto norm = heed::rms_norm(gamma);
    const auto step = [&](const auto& rows) {
        const auto logits = norm(rows);
        const auto loss = heed::cross_entropy.with_gradient(logits, labels);
        return std::pair(loss.value, norm.backward(rows, loss.gradient));
    };
    const auto [loss, gradient] = step(x);
    const auto [wide_loss, wide_gradient] = step(matrix<float>(x.cast<float>()));

    const float off = (gradient.x.cast<float>() - wide_gradient.x).norm() / wide_gradient.x.norm();
    std::cout << "loss " << loss << ", of floats " << wide_loss << "; the gradient is off by "
              << off << ", that of gamma by "
              << (gradient.gamma - wide_gradient.gamma).norm() / wide_gradient.gamma.norm() << '\n';
    return std::abs(loss - wide_loss) < 1e-2F && off > 0 && off < 1e-2F ? 0 : 1;
}
