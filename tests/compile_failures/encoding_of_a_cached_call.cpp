// The compiler says: heed: a position encoding acts on keys once, when they are appended

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8);
    heed::kv_cache<float> cache({.dim = 8});
    heed::attention(q, cache, heed::rotary(heed::rope::plain({.dim = 8})));
}
