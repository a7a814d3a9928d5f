// The compiler says: heed: attention takes one heed::dropout

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto drop = heed::dropout({.rate = 0.1});
    heed::attention(q, k, v, drop, drop);
}
