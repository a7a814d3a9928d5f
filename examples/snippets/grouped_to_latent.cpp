// A layer with grouped heads and rotary positions as latent attention, the same to rounding; and
// one of many heads with a fifth of the numbers cached, which tells what it lost.
#include <iostream>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const int model = 24, heads = 4, kv_heads = 2, dim = 8, tokens = 30;
    const matrix q = matrix::Random(heads * dim, model) / 3;  // [outputs, inputs]
    const matrix k = matrix::Random(kv_heads * dim, model) / 3;
    const matrix v = matrix::Random(kv_heads * dim, model) / 3;
    const matrix o = matrix::Random(model, heads * dim) / 3, x = matrix::Random(tokens, model);
    const auto rope = heed::rope::plain({.dim = dim});

    const matrix xq = x * q.transpose(), xk = x * k.transpose(), xv = x * v.transpose();
    matrix grouped(tokens, heads * dim);
    heed::attention_into(heed::split_heads(grouped, heads), heed::split_heads(xq, heads),
                         heed::split_heads(xk, kv_heads), heed::split_heads(xv, kv_heads),
                         heed::causal, heed::rotary(rope));
    const matrix y = grouped * o.transpose();

    const heed::grouped_weights<float> weights{.q_proj = q, .k_proj = k, .v_proj = v, .o_proj = o};
    const auto same = heed::latent_from_grouped(
        weights, {.heads = heads, .kv_heads = kv_heads, .dim = dim, .value = dim}, rope);
    const float error = (same.attention().forward(x).y - y).norm() / y.norm();

    const matrix shared = matrix::Random(12, model);  // what keys and values have in common
    const matrix wide_k = matrix::Random(heads * dim, 12) * shared / 6;
    const matrix wide_v =
        matrix::Random(heads * dim, 12) * shared / 6 + matrix::Random(32, 24) / 20;
    const auto smaller = heed::latent_from_heads<float>(
        {.q_proj = q, .k_proj = wide_k, .v_proj = wide_v, .o_proj = o},
        {.heads = heads, .kv_heads = heads, .dim = dim, .value = dim}, 12);
    std::cout << "grouped heads are off by " << error << "; 12 numbers a token in place of "
              << 2 * heads * dim << " lose " << smaller.error << '\n';
    return error < 1e-5F && smaller.error < 0.1 ? 0 : 1;
}
