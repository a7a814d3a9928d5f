// The compiler says: heed: weights are learned in the scalar of x, not in 16 or 8 bits

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf x(4, 8), dy(4, 3), weight(3, 8);
    heed::project_backward(dy, x, heed::packed_weights<Eigen::bfloat16>(weight));
}
