// RWKV-4's time mixing (arXiv 2305.13048): a fading mean of values in two numbers a channel,
// trained in two pieces, and read token by token with the very bits of one call.
#include <iostream>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const int tokens = 100, half = 60, channels = 48;
    const matrix r = matrix::Random(tokens, channels), k = 3 * matrix::Random(tokens, channels),
                 v = matrix::Random(tokens, channels), d_o = matrix::Random(tokens, channels);
    const Eigen::VectorXf decay = 2 * Eigen::VectorXf::Random(channels),
                          bonus = Eigen::VectorXf::Random(channels);
    const auto unit = heed::rwkv(decay, bonus);
    const matrix o = unit(r, k, v);

    heed::unit_state<float> state, between;
    bool same = true;
    for (int t = 0; t < tokens; ++t) {
        const matrix step =
            unit(r.middleRows(t, 1), k.middleRows(t, 1), v.middleRows(t, 1), heed::carry(state));
        same = same && step == o.row(t);
        if (t + 1 == half) between = state;
    }

    const int rest = tokens - half;
    const auto whole = unit.backward(d_o, r, k, v);
    const auto second = unit.backward(d_o.bottomRows(rest), r.bottomRows(rest), k.bottomRows(rest),
                                      v.bottomRows(rest), heed::carry(between));
    const auto first = unit.backward(d_o.topRows(half), r.topRows(half), k.topRows(half),
                                     v.topRows(half), heed::state_gradient(second.state));
    const bool trains = (first.decay + second.decay).isApprox(whole.decay, 1e-4F);
    std::cout << (same ? "the same bits" : "other bits") << " step by step, "
              << (trains ? "the same" : "another") << " gradient in two pieces\n";
    return same && trains ? 0 : 1;
}
