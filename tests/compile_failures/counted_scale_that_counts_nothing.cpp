// The compiler says: heed: heed::counted_scale takes a scale that counts visible keys

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::VectorXi counts = Eigen::VectorXi::Constant(4, 9);
    heed::attention(q, k, v, heed::counted_scale(heed::scale(2), counts));
}
