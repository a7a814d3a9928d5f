// The compiler says: heed: attention takes one normaliser

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::softmax, heed::causal, heed::softmax.temperature(2));
}
