// The compiler says: heed: a key mask is a tensor of bool, [batch, keys]

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::key_mask(Eigen::MatrixXi(1, 4)));
}
