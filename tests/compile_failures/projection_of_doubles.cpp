// The compiler says: heed: x is double for weights stored in double, and float for all others

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXd x(4, 8);
    const Eigen::MatrixXf weight(3, 8);
    heed::project(x, heed::weights(weight));
}
