// The compiler says: heed: attention_scores forms no probabilities: it takes no observer

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    Eigen::Tensor<float, 3> entropy(1, 1, 4);
    heed::attention_scores(q, k, heed::row_entropy.into(entropy));
}
