// A normaliser of your own: any positive function in the exponential's place, alone and in
// attention, forward and backward.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 48, dim = 16;
    Eigen::MatrixXf q(length, dim), k(length, dim), v(length, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();

    // The second function is the derivative, which backward needs. Both are called with vectors.
    const auto squares = heed::positive([](auto x) { return 1 + x * x; },  //
                                        [](auto x) { return 2 * x; });
    const Eigen::MatrixXf p = squares(q);  // alone: every row of q
    const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal, squares);
    const auto gradient = heed::attention_backward(o, o, stats, q, k, v, heed::causal, squares);

    // The same, written out for the last query.
    Eigen::RowVectorXd expected = Eigen::RowVectorXd::Zero(dim);
    double sum = 0;
    for (int j = 0; j < length; ++j) {
        const double score = double(q.row(length - 1).dot(k.row(j))) / std::sqrt(double(dim));
        expected += (1 + score * score) * v.row(j).cast<double>();
        sum += 1 + score * score;
    }
    const auto last = o.row(length - 1).cast<double>();
    const double error = (last - expected / sum).cwiseAbs().maxCoeff();
    std::cout << "largest difference from the written-out sum: " << error << "; a row of p sums to "
              << p.row(0).sum() << "; |dq| = " << gradient.q.norm() << '\n';
    return error < 1e-5 ? 0 : 1;
}
