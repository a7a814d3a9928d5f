// Linear layers: one row or many, the same bits; weights in 8 bits; and a training step.
#include <cstdint>
#include <iostream>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/heed.hpp>

int main() {
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const matrix x = matrix::Random(64, 96);
    matrix weight = matrix::Random(128, 96);  // [outputs, inputs], as checkpoints have it
    Eigen::VectorXf bias = Eigen::VectorXf::Random(128);
    Eigen::ThreadPool pool(2);

    // A token alone and among others: not a bit differs.
    const heed::packed_weights<float> w(weight, bias);
    const matrix y = heed::project(x, w, heed::on(pool));
    bool right = y.row(17) == heed::project(x.row(17), w).row(0);

    // A quarter of the memory, and of the time that one row takes.
    const heed::packed_weights<std::int8_t> small(weight, bias);
    const float error = (heed::project(x, small) - y).norm() / y.norm();
    std::cout << "int8: " << error << " of y's size away, " << small.bytes() << " bytes\n";
    right &= error < 0.01F && small.bytes() < w.bytes();

    // A step of training on weights where they lie: y is to become 0.
    const auto layer = heed::weights(weight, bias);
    const auto loss = [&] { return heed::project(x, layer).squaredNorm() / 2; };
    const float before = loss();
    const auto [dx, d_weight, d_bias] = heed::project_backward(y, x, layer);  // dy = y
    weight -= 1e-3F * d_weight;
    bias -= 1e-3F * d_bias;
    std::cout << "loss " << before << ", after a step " << loss() << "\n";
    return right && loss() < before ? 0 : 1;
}
