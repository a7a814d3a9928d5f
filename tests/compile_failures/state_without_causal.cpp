// The compiler says: heed: a state is what a causal call has seen
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    heed::linear_state<float> state;
    return static_cast<int>(heed::linear_attention(q, q, q, heed::relu, heed::carry(state)).size());
}
