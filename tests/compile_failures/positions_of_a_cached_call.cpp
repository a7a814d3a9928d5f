// The compiler says: heed: a cache knows where its keys stand, and its queries stand at their end

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    heed::kv_cache<float> cache({.dim = 8});
    heed::attention(q, cache, heed::cache_lengths({4}));
}
