// The compiler says: heed: q, k and v must have the same scalar

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    const Eigen::MatrixXd v(4, 8);
    heed::attention(q, k, v);
}
