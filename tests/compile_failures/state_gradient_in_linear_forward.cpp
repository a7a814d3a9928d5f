// The compiler says: heed: heed::state_gradient is a part of linear_attention_backward
#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    const heed::linear_state_gradient<float> gradient;
    return static_cast<int>(
        heed::linear_attention(q, q, q, heed::causal, heed::relu, heed::state_gradient(gradient))
            .size());
}
