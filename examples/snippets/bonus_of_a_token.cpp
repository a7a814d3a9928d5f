// RWKV-6 (arXiv 2404.05892): a state that fades channel by channel, which each token reads before
// it writes, and itself by a bonus u. Without a state to read, o is what u says of the token.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  // [batch, heads, tokens, dim]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor r(1, heads, length, dim), k(r), v(r), w(r);
    for (tensor* x : {&r, &k, &v, &w}) x->setRandom();
    w = -0.1F * w.abs();  // log decays, from the model
    const Eigen::MatrixXf u = Eigen::MatrixXf::Random(heads, dim);
    const auto decay = heed::learn(heed::log_decay(w));
    const auto bonus = heed::learn(heed::bonus(u));

    auto [o, stats] = heed::linear_attention_forward(r, k, v, heed::causal, decay, bonus);
    const tensor d_o = o - v;  // of ½‖o − v‖²
    auto [dr, dk, dv, dw, du] =
        heed::linear_attention_backward(d_o, o, stats, r, k, v, heed::causal, decay, bonus);

    float weight = 0;  // of the first token of head 0
    for (int c = 0; c < dim; ++c) weight += u(0, c) * r(0, 0, 0, c) * k(0, 0, 0, c);
    weight /= std::sqrt(static_cast<float>(dim));
    const bool same = std::abs(o(0, 0, 0, 0) - weight * v(0, 0, 0, 0)) < 1e-5F;
    std::cout << "the first token reads itself alone: " << (same ? "yes" : "no")
              << ", du of head 0: " << du(0, 0) << '\n';
    return same ? 0 : 1;
}
