// The compiler says: heed: an output must be an object that can be written to

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    Eigen::MatrixXf o(4, 8);
    heed::attention_into(o, q, k, v,
                         heed::row_entropy.into(Eigen::Tensor<float, 3, Eigen::RowMajor>(1, 1, 4)));
}
