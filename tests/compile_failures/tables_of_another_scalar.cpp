// The compiler says: heed: tables of cosines and sines have the scalar of x

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf x(4, 8);
    const Eigen::MatrixXd cosines(4, 4), sines(4, 4);
    return heed::rotate(x, heed::rope::tables(cosines, sines)).size() == 32 ? 0 : 1;
}
