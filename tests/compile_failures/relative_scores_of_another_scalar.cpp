// The compiler says: heed: heed::relative_scores must have the scalar of q, k and v

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const Eigen::MatrixXd t(4, 5);
    heed::attention(q, k, v, heed::relative_scores(t));
}
