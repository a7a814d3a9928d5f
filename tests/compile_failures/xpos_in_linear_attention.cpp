// The compiler says: heed: of position encodings linear attention takes heed::rotary alone
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    const auto rope = heed::rope::plain({.dim = 4});
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::relu, heed::xpos(rope, 0.9)).size());
}
