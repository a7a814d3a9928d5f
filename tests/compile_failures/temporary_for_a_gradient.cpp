// The compiler says: heed: an output must be an object that can be written to

#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf dk(4, 8), dv(4, 8);
    const auto gradients = heed::into(Eigen::MatrixXf(4, 8), dk, dv);
    return static_cast<int>(gradients.q.rows());
}
