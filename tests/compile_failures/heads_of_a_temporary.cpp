// The compiler says: heed: heed::split_heads is a view

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf x(4, 8);
    // What the Ref holds is gone with it, and so is a block of it.
    const auto heads = heed::split_heads(Eigen::Ref<const Eigen::MatrixXf>(x + x).topRows(2), 2);
    return static_cast<int>(heads.size());
}
