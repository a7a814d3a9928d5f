// The compiler says: heed: positions are divided by integers; by one another say heed::scalar(f),

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::mask([](auto i, auto j) { return j % (i + 1) == 0; }));
}
