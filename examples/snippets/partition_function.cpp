// log_sum_exp over several axes: the free energy of each sample, over all states of a grid, and the
// probabilities of the states, which are its gradient.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    // −energy of a state, [row, sample, column]: the states of a sample do not lie side by side.
    Eigen::Tensor<double, 3, Eigen::RowMajor> scores(5, 3, 7);
    scores.setRandom();
    const auto log_z = heed::log_sum_exp_over(0, 2)(scores);

    auto ones = log_z;
    ones.setConstant(1);
    const auto p = heed::log_sum_exp_over(0, 2).backward(scores, log_z, ones);

    bool right = true;
    for (int sample = 0; sample < 3; ++sample) {
        double sum = 0, total = 0;
        for (int row = 0; row < 5; ++row)
            for (int column = 0; column < 7; ++column) {
                sum += std::exp(scores(row, sample, column));
                total += p(row, sample, column);
            }
        std::cout << "sample " << sample << ": log Z " << log_z(sample) << ", the probabilities "
                  << "add up to " << total << '\n';
        right =
            right && std::abs(log_z(sample) - std::log(sum)) < 1e-12 && std::abs(total - 1) < 1e-12;
    }
    return right ? 0 : 1;
}
