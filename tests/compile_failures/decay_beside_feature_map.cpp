// The compiler says: heed: a decay goes with neither a feature map nor a denominator
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::decay(0.9), heed::relu).size());
}
