// A layer of latent attention learns to say the token before, in one text. Each token leaves 12
// numbers for keys and values of its heads: rank + rotated, where plain heads have 2·(10 + 6).
#include <iostream>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const float rate = 0.004F;
    const int model = 6, heads = 2, content = 6, rotated = 4, value = 6, rank = 8, tokens = 12;
    std::srand(7);
    matrix q = matrix::Random(heads * (content + rotated), model) / 2;  // [outputs, inputs]
    matrix kv_a = matrix::Random(rank + rotated, model) / 2;
    matrix kv_b = matrix::Random(heads * (content + value), rank) / 2;
    matrix o = matrix::Random(model, heads * value) / 2;
    const Eigen::VectorXf gamma = Eigen::VectorXf::Ones(rank);
    const matrix x = matrix::Random(tokens, model);
    heed::latent_weights<float> weights;  // seen where they lie, as they change
    weights.q_proj = q, weights.o_proj = o, weights.kv_a_layernorm = gamma;
    weights.kv_a_proj_with_mqa = kv_a, weights.kv_b_proj = kv_b;
    const heed::latent_attention<float> mla(
        weights,
        {.heads = heads, .content = content, .rotated = rotated, .value = value, .rank = rank},
        heed::rope::plain({.dim = rotated, .layout = heed::rope::interleaved}));

    float first = 0, loss = 0;
    for (int step = 0; step < 1000; ++step) {
        const auto [y, saved] = mla.forward(x);
        matrix dy = y;  // of ½Σ‖y_i − x_{i−1}‖²
        dy.bottomRows(tokens - 1) -= x.topRows(tokens - 1);
        loss = dy.squaredNorm() / 2;
        if (step == 0) first = loss;
        const auto grad = mla.backward(dy, x, saved).weights;
        q -= rate * grad.q_proj, kv_a -= rate * grad.kv_a_proj_with_mqa;
        kv_b -= rate * grad.kv_b_proj, o -= rate * grad.o_proj;
    }
    std::cout << "loss " << first << ", after 1000 steps " << loss << '\n';
    return loss < first / 4 ? 0 : 1;
}
