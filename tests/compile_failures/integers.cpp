// The compiler says: heed: attention computes in float or double

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXi q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v);
}
