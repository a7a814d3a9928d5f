// The compiler says: heed: a mask's function returns a truth a lane, as a comparison is one, i % 2

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::mask([](auto i, auto j) { return (i - j) % 2; }));
}
