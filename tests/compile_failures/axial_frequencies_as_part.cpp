// The compiler says: or those along several axes in heed::axial_rotary

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto rope = heed::rope::axial({.dims = {4, 4}});
    auto [o, stats] = heed::attention_forward(q, k, v, rope);
    heed::attention_backward(o, o, stats, q, k, v, rope);
}
