// The compiler says: heed: attention_backward takes one heed::log_sum_exp_gradient

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::Tensor<float, 3> d_lse(1, 1, 4);
    const auto part = heed::log_sum_exp_gradient(d_lse);
    const auto [o, stats] = heed::attention_forward(q, k, v);
    heed::attention_backward(o, o, stats, q, k, v, part, part);
}
