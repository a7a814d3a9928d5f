// The compiler says: heed: attention takes one position encoding

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const auto rope = heed::rope::plain({.dim = 8});
    heed::attention(q, k, v, heed::rotary(rope), heed::causal, heed::rotary(rope));
}
