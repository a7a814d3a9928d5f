// The compiler says: heed: a decay goes along the sequence: heed::decay and heed::log_decay go
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::decay(0.9)).size());
}
