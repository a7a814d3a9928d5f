// The compiler says: heed: an argument behind q, k, v and the options is not a part of

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::nystrom_attention(q, k, v, {.landmarks = 2}, 0.5);
}
