// The compiler says: heed: nystrom_attention takes no bias of q or k, no observer, no dropout

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::nystrom_attention(q, k, v, {.landmarks = 2}, heed::dropout({.rate = 0.1}));
}
