// The compiler says: heed: backward takes k and v, not a cache

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    heed::kv_cache<float> cache({.dim = 8});
    const auto [o, stats] = heed::attention_forward(q, cache);
    heed::attention_backward(o, o, stats, q, cache, heed::causal);
}
