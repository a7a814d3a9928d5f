// The compiler says: heed: an argument behind q, k and v is not a part of attention

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, [](auto i, auto j) { return j <= i; });
}
