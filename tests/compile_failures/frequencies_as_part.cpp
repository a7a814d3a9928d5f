// The compiler says: heed: frequencies alone are not a part of attention: wrap them in heed::rotary

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::causal, heed::rope::plain({.dim = 8}));
}
