// The compiler says: heed: an update goes along the sequence: it goes with heed::causal
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::delta(0.5)).size());
}
