// The compiler says: heed: this feature map goes with no rotary encoding
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    const auto rope = heed::rope::plain({.dim = 4});
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::cosformer(4), heed::rotary(rope)).size());
}
