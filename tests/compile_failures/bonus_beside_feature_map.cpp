// The compiler says: heed: a bonus goes with neither a feature map nor a denominator
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::relu, heed::bonus(q)).size());
}
