// The compiler says: heed: heed::wanted_gradients is a part of attention_backward

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::wanted_gradients({.k = false}));
}
