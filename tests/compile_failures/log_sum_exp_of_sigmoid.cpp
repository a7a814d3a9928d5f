// The compiler says: heed: this normaliser has no log-sum-exp

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto [o, stats] = heed::attention_forward(q, k, v, heed::sigmoid);
    stats.log_sum_exp();
}
