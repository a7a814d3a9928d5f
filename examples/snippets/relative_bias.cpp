// A table of relative positions learns to look back: each token shall be the mean of the two tokens
// two and three places before it, and queries and keys do not help.
#include <algorithm>
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 24, dim = 4, reach = 5;
    const Eigen::MatrixXd q = Eigen::MatrixXd::Zero(length, dim), k = q;
    Eigen::MatrixXd v(length, dim);
    v.setRandom();
    Eigen::MatrixXd target = v;
    target.bottomRows(length - 3) =
        (v.middleRows(1, length - 3) + v.topRows(length - 3)) / 2;  // 2 and 3 places before

    Eigen::MatrixXd table =
        Eigen::MatrixXd::Zero(2 * reach + 1, 1);  // row reach + n: n places back
    const auto distances = [&] { return heed::learn(heed::relative_bias(table)); };
    for (int step = 0; step < 600; ++step) {
        const auto [o, stats] = heed::attention_forward(q, k, v, distances());
        Eigen::MatrixXd d_o = o - target;
        d_o.topRows(3).setZero();  // they have nothing to look back to
        if (step % 120 == 0) std::cout << "step " << step << ": " << d_o.squaredNorm() << '\n';
        const auto gradient = heed::attention_backward(d_o, o, stats, q, k, v, distances());
        table -= gradient.of<0>();
    }
    const double two = table(reach + 2, 0), three = table(reach + 3, 0);
    table(reach + 2, 0) = table(reach + 3, 0) = -INFINITY;
    std::cout << "2 and 3 places back: " << two << ", " << three
              << "; the largest other number: " << table.maxCoeff() << '\n';
    return std::min(two, three) > table.maxCoeff() + 1 ? 0 : 1;
}
