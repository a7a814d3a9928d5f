// The compiler says: heed: q, k and v must have the same number of axes

#include <heed/heed.hpp>

int main() {
    const Eigen::Tensor<float, 3> q(1, 4, 8);
    const Eigen::MatrixXf k(4, 8), v(4, 8);
    heed::attention(q, k, v);
}
