// The compiler says: heed: bits are those of a position, (i - j) & 1, not of a number, as abs(i -

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::mask([](auto i, auto j) { return (abs(i - j) & 1) == 0; }));
}
