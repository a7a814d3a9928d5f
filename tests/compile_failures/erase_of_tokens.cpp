// The compiler says: heed: heed::erase takes e [batch, heads, keys, dim] and w [batch, heads, keys
#include <heed/heed.hpp>

int main() {
    Eigen::Tensor<float, 4, Eigen::RowMajor> q(1, 2, 4, 4);
    Eigen::Tensor<float, 3, Eigen::RowMajor> e(1, 2, 4);
    q.setRandom();
    e.setRandom();
    const auto update = [&] { heed::erase(e, q); };
    update();
}
