// The compiler says: heed: a decay that is learned cannot be chosen at run time
#include <optional>

#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    const std::optional decay = heed::learn(heed::decay(0.9));
    return static_cast<int>(heed::linear_attention(q, q, q, heed::causal, decay).size());
}
