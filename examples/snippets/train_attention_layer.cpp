// One attention layer learns by gradient to copy the value of the first key: queries, keys and a
// bias on the scores all follow their gradients.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 12, dim = 8;
    Eigen::MatrixXd q(length, dim), k(length, dim), v(length, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();
    Eigen::MatrixXd b = Eigen::MatrixXd::Zero(length, length);
    const Eigen::MatrixXd target = v.row(0).replicate(length, 1);

    double first = 0, loss = 0;
    for (int step = 0; step < 200; ++step) {
        const auto [o, stats] = heed::attention_forward(q, k, v, heed::learn(heed::bias(b)));
        const Eigen::MatrixXd d_o = o - target;  // the gradient of ½‖o − target‖²
        loss = 0.5 * d_o.squaredNorm();
        if (step == 0) first = loss;
        if (step % 40 == 0) std::cout << "step " << step << ": loss " << loss << '\n';

        const auto [dq, dk, dv, db] =
            heed::attention_backward(d_o, o, stats, q, k, v, heed::learn(heed::bias(b)));
        q -= 0.5 * dq;
        k -= 0.5 * dk;
        b -= 0.5 * db;
    }
    std::cout << "at the end: loss " << loss << '\n';
    return loss < 0.05 * first ? 0 : 1;
}
