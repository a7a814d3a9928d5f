// The compiler says: heed: linear attention takes one feature map
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::relu, heed::elu_plus_one).size());
}
