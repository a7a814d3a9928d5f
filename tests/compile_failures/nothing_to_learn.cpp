// The compiler says: heed: heed::learn was given a part without parameters to learn

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto mask = heed::learn(heed::causal);
    const auto [o, stats] = heed::attention_forward(q, k, v, mask);
    heed::attention_backward(o, o, stats, q, k, v, mask);
}
