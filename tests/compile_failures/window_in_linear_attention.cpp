// The compiler says: heed: of masks linear attention takes heed::causal, heed::key_lengths and
// heed::cumulative_lengths alone
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    return static_cast<int>(heed::linear_attention(q, q, q, heed::sliding_window(2, 0)).size());
}
