// The compiler says: heed: feature maps, denominators, decays, updates and states are parts of
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::attention(q, q, q, heed::elu_plus_one).size());
}
