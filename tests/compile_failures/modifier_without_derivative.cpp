// The compiler says: heed: backward needs the derivative of every modifier

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto doubled = heed::modifier([](auto s) { return s + s; });
    const auto [o, stats] = heed::attention_forward(q, k, v, doubled);
    heed::attention_backward(o, o, stats, q, k, v, doubled);
}
