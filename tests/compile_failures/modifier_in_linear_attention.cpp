// The compiler says: heed: linear attention forms no scores
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::soft_cap(30)).size());
}
