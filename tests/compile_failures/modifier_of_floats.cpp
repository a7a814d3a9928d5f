// The compiler says: heed: a modifier's function takes (s), (s, i, j) or (s, batch, head, i, j)

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::modifier([](float s) { return 2 * s; }));
}
