// The compiler says: heed: a vector of scores is not one number: heed's functions are written

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::modifier([](auto s) { return std::exp(s); }));
}
