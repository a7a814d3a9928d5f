// The compiler says: heed: tokens are whole numbers, of any type but bool

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf logits(4, 8);
    Eigen::VectorXf tokens(4);
    heed::greedy.into(tokens, logits);
}
