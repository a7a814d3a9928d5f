// The compiler says: heed: heed::bias must have the scalar of q, k and v

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::MatrixXd bias(4, 4);
    heed::attention(q, k, v, heed::bias(bias));
}
