// The compiler says: heed: attention takes one heed::query_bias and one heed::key_bias

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::VectorXf a(8);
    heed::attention(q, k, v, heed::query_bias(a), heed::key_bias(a), heed::query_bias(a));
}
