// The compiler says: heed: heed::low_rank takes a and b of [batch, heads, keys, dim] each
#include <heed/heed.hpp>

int main() {
    Eigen::Tensor<float, 4, Eigen::RowMajor> b(1, 2, 4, 4);
    Eigen::Tensor<float, 3, Eigen::RowMajor> a(1, 2, 4);
    a.setRandom();
    b.setRandom();
    const auto update = [&] { heed::low_rank(a, b); };
    update();
}
