// The compiler says: heed: attention takes one scale

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::log_n_scale(512), heed::scale(0.5));
}
