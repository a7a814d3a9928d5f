// An update of GDN-2's kind (arXiv 2605.22791): what a token takes out of the state and what it
// writes are gated apart, channel by channel. The gates are learned.
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  // [batch, heads, tokens, channels]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor q(1, heads, length, dim), k(q), v(q);
    tensor e(q), w(q);  // from the model: between 0 and 1
    for (tensor* x : {&q, &k, &v, &e, &w}) x->setRandom();
    const auto decay = heed::decay(0.99);
    const auto erase = heed::learn(heed::erase(e, w));

    auto [o, stats] =
        heed::linear_attention_forward(q, k, v, heed::causal, decay, erase, heed::unit_rows);
    const tensor d_o = o - v;  // of ½‖o − v‖²
    auto [dq, dk, dv, de, dw] = heed::linear_attention_backward(
        d_o, o, stats, q, k, v, heed::causal, decay, erase, heed::unit_rows);

    std::cout << "o of the last token: " << o(0, 0, length - 1, 0)
              << ", de and dw of the one before: " << de(0, 0, length - 2, 0) << ", "
              << dw(0, 0, length - 2, 0) << '\n';
}
