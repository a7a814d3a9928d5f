// The compiler says: heed: all arguments of a call have the same scalar

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf x(4, 8);
    Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> y(4, 8);
    heed::softmax.into(y, x);
}
