// The compiler says: heed: an argument behind q, k and v is not a part of attention

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto [o, stats] = heed::attention_forward(q, k, v);
    heed::attention_backward(o, o, stats, q, k, v, 0.5);
}
