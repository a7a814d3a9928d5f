// The compiler says: heed: a mask's function takes (i, j) or (batch, head, i, j)

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::mask([](auto j) { return j > 2; }));
}
