// The compiler says: heed: a feature map takes q and k as they are: heed::unit_rows goes with
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::unit_rows, heed::relu).size());
}
