// The compiler says: heed: attention takes one heed::positions or one heed::cache_lengths, not both

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const std::vector<int> p(4);
    heed::attention(q, k, v, heed::positions(p), heed::cache_lengths({4}));
}
