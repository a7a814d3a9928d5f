// The compiler says: heed: a modifier's function returns scores, or a number for all lanes; what a

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::modifier([](auto, auto i, auto j) { return j <= i; }));
}
