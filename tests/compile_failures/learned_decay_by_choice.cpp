// The compiler says: heed: a learned part may be optional, but not one of several
#include <variant>

#include <heed/heed.hpp>

int main() {
    Eigen::MatrixXf q(4, 4);
    q.setRandom();
    const auto constant = heed::decay(0.9);
    const auto learned = heed::learn(constant);
    const std::variant<decltype(heed::learn(constant)), decltype(heed::decay(0.9))> part = learned;
    const auto [o, stats] = heed::linear_attention_forward(q, q, q, heed::causal, part);
    return static_cast<int>(
        heed::linear_attention_backward(o, o, stats, q, q, q, heed::causal, part).q.size());
}
