// The compiler says: heed: positions along several axes are a matrix

#include <heed/rope/axes.hpp>
#include <heed/rope/rotate_axes.hpp>

int main() {
    const Eigen::MatrixXf x(6, 8);
    const std::vector<int> positions{0, 1, 2, 3, 4, 5};
    heed::rotate(x, heed::rope::axial({.dims = {4, 4}}), positions);
}
