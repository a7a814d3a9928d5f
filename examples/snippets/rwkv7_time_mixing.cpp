// RWKV-7's time mixing (arXiv 2503.14456): by a token's key of length 1 the state is read, a share
// of what is there is taken out, a channel at a time, and a value is written. All is learned.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  // [batch, heads, tokens, channels]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor r(1, heads, length, dim), k(r), v(r), removal(r), share(r), w(r);
    for (tensor* x : {&r, &k, &v, &removal, &share, &w}) x->setRandom();  // from the model, 0 to 1
    const tensor log_decay = w * w.constant(-std::exp(-0.5F));            // log α ≥ −0.607

    const auto squares = (removal * removal).eval();
    const Eigen::array<int, 1> channels{3};
    const Eigen::array<int, 4> rows{1, heads, length, 1}, repeat{1, 1, 1, dim};
    const tensor key = removal * squares.sum(channels).rsqrt().reshape(rows).broadcast(repeat);
    const tensor a = -key, b = key * share;

    const auto decay = heed::learn(heed::log_decay(log_decay));
    const auto update = heed::learn(heed::low_rank(a, b));
    auto [o, stats] =
        heed::linear_attention_forward(r, k, v, heed::causal, decay, update, heed::scale(1));
    const tensor d_o = o - v;  // of ½‖o − v‖²
    auto [dr, dk, dv, dw, da, db] = heed::linear_attention_backward(
        d_o, o, stats, r, k, v, heed::causal, decay, update, heed::scale(1));

    std::cout << "o of the last token: " << o(0, 0, length - 1, 0)
              << ", da and db of the one before: " << da(0, 0, length - 2, 0) << ", "
              << db(0, 0, length - 2, 0) << '\n';
}
