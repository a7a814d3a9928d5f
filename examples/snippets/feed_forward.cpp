// A transformer's feed-forward layer as Llama has it, swiglu of two projections and a third one
// back, and the gradient of its input; and an activation within attention.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int tokens = 5, dim = 8, hidden = 24;
    Eigen::MatrixXd x = Eigen::MatrixXd::Random(tokens, dim);
    const Eigen::MatrixXd gate = Eigen::MatrixXd::Random(hidden, dim);
    const Eigen::MatrixXd up = Eigen::MatrixXd::Random(hidden, dim);
    const Eigen::MatrixXd down = Eigen::MatrixXd::Random(dim, hidden);

    const auto projected = [&](const Eigen::MatrixXd& w) {
        return heed::project(x, heed::weights(w));
    };
    const auto layer = [&] {
        const Eigen::MatrixXd hidden_rows = heed::swiglu(projected(gate), projected(up));
        return heed::project(hidden_rows, heed::weights(down));
    };
    // Backward of the sum of all outputs.
    const Eigen::MatrixXd a = projected(gate), b = projected(up);
    const Eigen::MatrixXd dy = Eigen::MatrixXd::Ones(tokens, dim) * down;
    const auto [da, db] = heed::swiglu.backward(a, b, dy);
    const Eigen::MatrixXd dx = da * gate + db * up;

    const double h = 1e-6;
    x(2, 3) += h;
    const double above = layer().sum();
    x(2, 3) -= 2 * h;
    const double slope = (above - layer().sum()) / (2 * h);
    std::cout << "dx " << dx(2, 3) << ", by differences " << slope << '\n';

    // Scores through softplus: none is negative. The second function is what backward needs.
    const auto positive = heed::modifier([](auto s) { return heed::softplus(s); },
                                         [](auto s) { return heed::softplus.derivative(s); });
    const Eigen::MatrixXd o = heed::attention(x, x, x, heed::causal, positive);
    return std::abs(dx(2, 3) - slope) < 1e-6 && o.row(0).isApprox(x.row(0)) ? 0 : 1;
}
