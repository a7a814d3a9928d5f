// Gated linear attention (arXiv 2312.06635): each channel of the state fades by a number of its own
// at each token. Learned end to end; step by step it has the very bits of one call.
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  // [batch, heads, tokens, dim]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor q(1, heads, length, dim), k(1, heads, length, dim), v(1, heads, length, dim);
    tensor g(1, heads, length, dim);  // from the model: log α, log σ(x)/16 in the paper
    for (tensor* x : {&q, &k, &v, &g}) x->setRandom();
    g = -0.1F * g.abs();
    const auto decay = heed::learn(heed::log_decay(g));
    const auto [o, stats] = heed::linear_attention_forward(q, k, v, heed::causal, decay);
    const auto [dq, dk, dv, dg] =
        heed::linear_attention_backward(v, o, stats, q, k, v, heed::causal, decay);

    heed::linear_state<float> state;
    bool same = dg.dimensions() == g.dimensions();
    for (int t = 0; t < length; ++t) {
        const auto token = [&](tensor& x) {
            return heed::view(x.data() + t * dim, {1, heads, 1, dim}, {0, length * dim, dim, 1});
        };
        const tensor step = heed::linear_attention(token(q), token(k), token(v), heed::causal,
                                                   heed::log_decay(token(g)), heed::carry(state));
        for (int head = 0; head < heads; ++head)
            for (int c = 0; c < dim; ++c) same = same && step(0, head, 0, c) == o(0, head, t, c);
    }
    std::cout << (same ? "the same bits" : "other bits") << " step by step\n";
    return same ? 0 : 1;
}
