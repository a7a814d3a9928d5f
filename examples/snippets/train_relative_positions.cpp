// T5's table of relative positions learns where to look: each token shall copy the value of the
// token three places before it, and queries and keys do not help.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 24, dim = 4, back = 3;
    const Eigen::MatrixXd q = Eigen::MatrixXd::Zero(length, dim), k = q;
    Eigen::MatrixXd v(length, dim);
    v.setRandom();
    Eigen::MatrixXd target = v;
    target.bottomRows(length - back) = v.topRows(length - back);

    Eigen::MatrixXd table = Eigen::MatrixXd::Zero(16, 1);  // [buckets, heads]
    const auto position = [&] {
        return heed::learn(heed::t5_bias(table, {.bidirectional = false, .max_distance = 32}));
    };
    for (int step = 0; step < 300; ++step) {
        const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, position());
        Eigen::MatrixXd d_o = o - target;
        d_o.topRows(back).setZero();  // they have nothing to copy
        if (step % 60 == 0) std::cout << "step " << step << ": " << d_o.squaredNorm() << '\n';
        const auto gradient =
            heed::attention_backward(d_o, o, stats, q, k, v, heed::causal, position());
        table -= gradient.of<0>();
    }
    Eigen::Index best = 0;
    table.col(0).maxCoeff(&best);
    std::cout << "the largest number is that of distance " << best << '\n';
    return best == back ? 0 : 1;
}
