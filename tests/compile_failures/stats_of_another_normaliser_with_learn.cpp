// The compiler says: heed: stats must be those of this call's normaliser

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto [o, stats] = heed::attention_forward(q, k, v, heed::entmax15);
    heed::attention_backward(o, o, stats, q, k, v, heed::learn(heed::sink(0.5)));
}
