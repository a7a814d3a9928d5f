// The compiler says: heed: a learned part may be optional, but not one of several

#include <variant>

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    using any = std::variant<heed::soft_cap_modifier, heed::learned<heed::soft_cap_modifier>>;
    const any cap = heed::learn(heed::soft_cap(30));
    const auto [o, stats] = heed::attention_forward(q, k, v, cap);
    heed::attention_backward(o, o, stats, q, k, v, cap);
}
