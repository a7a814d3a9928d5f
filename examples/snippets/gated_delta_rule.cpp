// Gated DeltaNet (arXiv 2412.06464): a state that fades, in which each token replaces what stands
// for its key. Learned end to end; step by step it has the very bits of one call.
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;  // [heads, tokens, dim]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor q(heads, length, dim), k(heads, length, dim), v(heads, length, dim);
    Eigen::MatrixXf g(heads, length), beta(heads, length);  // from the model: log α ≤ 0, 0 ≤ β ≤ 1
    for (tensor* x : {&q, &k, &v}) x->setRandom();
    g = -0.1F * g.setRandom().cwiseAbs();
    beta = beta.setRandom().cwiseAbs();
    const auto decay = heed::learn(heed::log_decay(g));
    const auto delta = heed::learn(heed::delta(beta));
    const auto [o, stats] =
        heed::linear_attention_forward(q, k, v, heed::causal, decay, delta, heed::unit_rows);
    const auto [dq, dk, dv, dg, d_beta] = heed::linear_attention_backward(
        v, o, stats, q, k, v, heed::causal, decay, delta, heed::unit_rows);

    heed::linear_state<float> state;
    bool same = dg.cols() == length && d_beta.rows() == heads;
    for (int t = 0; t < length; ++t) {
        const auto token = [&](tensor& x) {
            return heed::view(x.data() + t * dim, {heads, 1, dim}, {length * dim, dim, 1});
        };
        const tensor step = heed::linear_attention(
            token(q), token(k), token(v), heed::causal, heed::log_decay(g.col(t)),
            heed::delta(beta.col(t)), heed::unit_rows, heed::carry(state));
        for (int head = 0; head < heads; ++head)
            for (int c = 0; c < dim; ++c) same = same && step(head, 0, c) == o(head, t, c);
    }
    std::cout << (same ? "the same bits" : "other bits") << " step by step\n";
    return same ? 0 : 1;
}
