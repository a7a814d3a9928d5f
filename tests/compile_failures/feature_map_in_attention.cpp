// The compiler says: heed: feature maps, denominators, decays and states are parts of linear
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::attention(q, q, q, heed::elu_plus_one).size());
}
