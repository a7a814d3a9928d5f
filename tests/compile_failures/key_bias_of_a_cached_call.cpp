// The compiler says: heed: heed::key_bias is a part of the cache

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    heed::kv_cache<float> cache({.dim = 8});
    heed::attention(q, cache, heed::key_bias(k));
}
