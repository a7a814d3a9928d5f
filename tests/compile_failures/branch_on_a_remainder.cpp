// The compiler says: heed: a position is one a lane, not one number: take i and j as auto, write

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::mask([](auto i, auto j) { return i % 2 ? j <= i : j >= i; }));
}
