// The compiler says: heed: a bonus is the present token's: heed::bonus goes with heed::causal
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::bonus(q)).size());
}
