// The compiler says: heed: tokens are whole numbers, of any type but bool

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf logits(4, 2);
    Eigen::Matrix<bool, 4, 1> tokens;
    heed::greedy.into(tokens, logits);
}
