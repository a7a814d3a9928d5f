// The compiler says: heed: attention takes one heed::in

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::workspace first, second;
    heed::attention(q, k, v, heed::in(first), heed::in(second));
}
