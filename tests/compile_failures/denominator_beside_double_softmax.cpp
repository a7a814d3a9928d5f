// The compiler says: heed: heed::double_softmax divides by itself: it takes no denominator
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::double_softmax, heed::normalised).size());
}
