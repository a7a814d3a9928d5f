// The compiler says: heed: a learned part cannot be optional or one of several

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto cap = std::optional(heed::learn(heed::soft_cap(30)));
    const auto [o, stats] = heed::attention_forward(q, k, v, cap);
    heed::attention_backward(o, o, stats, q, k, v, cap);
}
