// Retention (arXiv 2307.08621): causal linear attention whose state fades by γ a token. Step by
// step, in a state that never grows, it has the very bits of one call for the whole sequence.
#include <cmath>
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 3, Eigen::RowMajor>;  // [heads, tokens, dim]

int main() {
    const int heads = 4, length = 100, dim = 16;
    tensor q(heads, length, dim), k(heads, length, dim), v(heads, length, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();
    std::vector<double> gammas;
    for (int head = 0; head < heads; ++head) gammas.push_back(1 - std::exp2(-5 - head));
    const auto rope = heed::rope::plain({.dim = dim});
    const auto run = [&](const auto& qs, const auto& ks, const auto& vs, const auto&... parts) {
        return heed::linear_attention(qs, ks, vs, heed::causal, heed::decay(gammas),
                                      heed::rotary(rope), parts...);
    };
    const tensor whole = run(q, k, v);

    heed::linear_state<float> state;
    bool same = true;
    for (int t = 0; t < length; ++t) {
        const auto token = [&](tensor& x) {
            return heed::view(x.data() + t * dim, {heads, 1, dim}, {length * dim, dim, 1});
        };
        const tensor o = run(token(q), token(k), token(v), heed::carry(state));
        for (int head = 0; head < heads; ++head)
            for (int c = 0; c < dim; ++c) same = same && o(head, 0, c) == whole(head, t, c);
    }
    std::cout << (same ? "the same bits" : "other bits") << " step by step\n";
    return same ? 0 : 1;
}
