// The compiler says: heed: stats must be those of this call's normaliser: heed::stats_for

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    Eigen::MatrixXf o(4, 8);
    heed::stats_for<float> stats;
    heed::attention_forward_into(o, stats, q, k, v, heed::learn(heed::entmax(1.3)));
}
