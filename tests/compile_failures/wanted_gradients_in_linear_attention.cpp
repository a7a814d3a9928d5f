// The compiler says: heed: linear attention takes no heed::wanted_gradients

#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    heed::linear_attention(q, q, q, heed::wanted_gradients({.k = false}));
}
