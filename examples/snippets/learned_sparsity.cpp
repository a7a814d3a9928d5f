// Heads learn how sparse they are: from what an attention with an α for each head has said, its α
// are found again, by their gradients alone.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    using tensor = Eigen::Tensor<double, 3, Eigen::RowMajor>;
    const int heads = 3, keys = 32, dim = 8;
    tensor q(heads, keys, dim), k(heads, keys, dim), v(heads, keys, dim);
    for (tensor* x : {&q, &k, &v}) x->setRandom();
    q = q * 4.0;
    const Eigen::Vector3d searched(1.2, 1.5, 1.9);
    const tensor target = heed::attention(q, k, v, heed::entmax(searched));

    Eigen::VectorXd alphas = Eigen::VectorXd::Constant(heads, 1.6);
    for (int step = 0; step < 200; ++step) {
        const auto normaliser = heed::learn(heed::entmax(alphas));
        const auto [o, stats] = heed::attention_forward(q, k, v, normaliser);
        const tensor d_o = o - target;
        if (step % 50 == 0) std::cout << "step " << step << ": " << alphas.transpose() << '\n';
        // Nothing but the α is learned: q, k and v stay as they are.
        const auto gradient =
            heed::attention_backward(d_o, o, stats, q, k, v, normaliser,
                                     heed::wanted_gradients({.q = false, .k = false, .v = false}));
        alphas = (alphas - 0.02 * gradient.of<0>()).cwiseMax(1.0).cwiseMin(2.0);
    }
    std::cout << "at the end: " << alphas.transpose() << '\n';
    return (alphas - searched).cwiseAbs().maxCoeff() < 0.02 ? 0 : 1;
}
