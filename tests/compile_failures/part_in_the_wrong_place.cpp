// The compiler says: heed: q, k and v must be Eigen tensors, matrices, arrays, maps, blocks, or
// heed::view

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    heed::attention(q, k, heed::causal);
}
