// HWFA: windows with rotary positions in all layers but the last, which sees everything, without
// positions and with log n; so that the model can be run at lengths it was not trained on.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    using matrix = Eigen::MatrixXf;
    const int trained = 64, layers = 4, n = 256, dim = 16;
    const auto rope = heed::rope::plain({.dim = dim});
    const auto window = heed::hwfa_window(trained, layers);  // keys a layer sees
    const auto near = heed::sliding_window(window - 1, 0);

    const auto windows = [&](matrix x) {  // q, k and v are x itself: the weights are left out
        for (int layer = 1; layer < layers; ++layer)
            x += heed::attention(x, x, x, near, heed::rotary(rope));
        return x;
    };
    const auto model = [&](const matrix& x) {
        const matrix y = windows(x);
        return matrix(y + heed::attention(y, y, y, heed::causal, heed::log_n_scale(trained)));
    };

    const matrix x = matrix::Random(n, dim);
    matrix other = x;
    other.row(0).setOnes();
    const Eigen::VectorXf changed = (windows(x) - windows(other)).rowwise().norm();
    const auto reach = (layers - 1) * (window - 1);
    std::cout << "windows carry the first token " << reach << " tokens on, of " << trained
              << " in training; the full layer to all " << n << ": the last changes by "
              << (model(x) - model(other)).row(n - 1).norm() << '\n';
    return changed(reach) > 0 && changed.tail(n - 1 - reach).isZero(0) ? 0 : 1;
}
