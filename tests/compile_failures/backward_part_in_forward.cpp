// The compiler says: heed: heed::log_sum_exp_gradient is a part of attention_backward

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::Tensor<float, 3> d_lse(1, 1, 4);
    heed::attention(q, k, v, heed::log_sum_exp_gradient(d_lse));
}
