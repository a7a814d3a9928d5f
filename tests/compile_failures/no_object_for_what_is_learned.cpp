// The compiler says: heed: there must be one gradient for each learned part

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto cap = heed::learn(heed::soft_cap(30));
    const auto [o, stats] = heed::attention_forward(q, k, v, cap);
    Eigen::MatrixXf dq(4, 8), dk(4, 8), dv(4, 8);
    heed::attention_backward_into(heed::into(dq, dk, dv), o, o, stats, q, k, v, cap);
}
