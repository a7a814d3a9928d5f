// The compiler says: heed: the stats of results that are merged must be those of one normaliser

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    auto [o, stats] = heed::attention_forward(q, k, v);
    const auto [o_part, part] = heed::attention_forward(q, k, v, heed::softmax_plus_one);
    heed::merge(o, stats, o_part, part);
}
