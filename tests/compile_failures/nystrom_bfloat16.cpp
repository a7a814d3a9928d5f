// The compiler says: heed: only attention itself takes tensors of 16-bit numbers

#include <heed/heed.hpp>

int main() {
    const Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> q(4, 8), k(4, 8), v(4, 8);
    heed::nystrom_attention(q, k, v, {.landmarks = 2});
}
