// The compiler says: heed: linear attention takes one denominator, decay, scale
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4), g(1, 4);
    q.setRandom();
    g.setZero();
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::decay(0.9), heed::log_decay(g)).size());
}
