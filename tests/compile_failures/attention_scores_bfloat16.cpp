// The compiler says: heed: attention_weights and attention_scores take no tensors of 16-bit numbers

#include <heed/heed.hpp>

int main() {
    const Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> q(4, 8), k(4, 8);
    heed::attention_scores(q, k);
}
