// The compiler says: heed: the stats that others are merged into must not be const

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    auto [o, stats] = heed::attention_forward(q, k, v);
    const auto [o_part, part] = heed::attention_forward(q, k, v);
    const auto kept = stats;
    heed::merge(o, kept, o_part, part);
}
