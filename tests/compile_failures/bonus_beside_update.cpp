// The compiler says: heed: a bonus goes with no update
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::delta(0.5), heed::bonus(q)).size());
}
