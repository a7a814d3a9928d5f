// A mask and a score modifier of your own: lambdas, compiled into the attention kernel. They are
// called with vectors: i and j are the positions of a query and of several keys at once.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    const int length = 64, dim = 16;
    Eigen::MatrixXf q(length, dim), k(length, dim), v(length, dim);
    q.setRandom();
    k.setRandom();
    v.setRandom();

    // A key is seen if it is not later than the query and at an even distance from it.
    const auto even = heed::mask([](auto i, auto j) { return j <= i && (i - j) % 2 == 0; });
    // Scores fall with distance. The second function is the derivative, which backward needs.
    const auto fade = heed::modifier([](auto s, auto i, auto j) { return s - 0.1F * abs(i - j); },
                                     [](auto) { return 1; });
    const Eigen::MatrixXf o = heed::attention(q, k, v, even, fade);

    // The same, written out for the last query.
    const int i = length - 1;
    Eigen::RowVectorXd expected = Eigen::RowVectorXd::Zero(dim);
    double sum = 0;
    for (int j = i; j >= 0; j -= 2) {
        const double score =
            double(q.row(i).dot(k.row(j))) / std::sqrt(double(dim)) - 0.1 * (i - j);
        expected += std::exp(score) * v.row(j).cast<double>();
        sum += std::exp(score);
    }
    const double error = (o.row(i).cast<double>() - expected / sum).cwiseAbs().maxCoeff();
    std::cout << "largest difference from the written-out sum: " << error << '\n';
    return error < 1e-5 ? 0 : 1;
}
