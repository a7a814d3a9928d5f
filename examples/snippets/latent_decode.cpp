// A text through latent attention: its beginning at once, then token by token, absorbed, over a
// cache of 12 numbers a token; in float, in bfloat16 and beside one call with all tokens.
#include <iostream>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const int model = 24, heads = 4, content = 6, rotated = 4, value = 6, rank = 8;
    const int tokens = 25, prompt = 20;
    const matrix q = matrix::Random(heads * (content + rotated), model) / 3;  // [outputs, inputs]
    const matrix kv_a = matrix::Random(rank + rotated, model) / 3;
    const matrix kv_b = matrix::Random(heads * (content + value), rank) / 3;
    const matrix o = matrix::Random(model, heads * value) / 3;
    const Eigen::VectorXf gamma = Eigen::VectorXf::Ones(rank);
    const heed::latent_attention<float> mla(
        {.q_proj = q,
         .kv_a_proj_with_mqa = kv_a,
         .kv_a_layernorm = gamma,
         .kv_b_proj = kv_b,
         .o_proj = o},
        {.heads = heads, .content = content, .rotated = rotated, .value = value, .rank = rank},
        heed::rope::plain({.dim = rotated}));

    const matrix x = matrix::Random(tokens, model), whole = mla.forward(x).y;
    auto cache = mla.make_cache<float>();
    auto half_as_large = mla.make_cache<Eigen::bfloat16>();
    bool same = mla.prefill(x.topRows(prompt), cache) == whole.topRows(prompt);
    (void)mla.prefill(x.topRows(prompt), half_as_large);
    const auto packed = mla.packed();  // its weights, once for all tokens
    float error = 0, error_of_half = 0;
    for (int i = prompt; i < tokens; ++i) {
        error = std::max(error, (packed.decode(x.row(i), cache) - whole.row(i)).norm());
        error_of_half =
            std::max(error_of_half, (packed.decode(x.row(i), half_as_large) - whole.row(i)).norm());
    }
    std::cout << "decode is off by " << error << ", of bfloat16 by " << error_of_half << '\n';
    return same && error < 1e-5F * whole.norm() && error_of_half < 0.01F * whole.norm() ? 0 : 1;
}
