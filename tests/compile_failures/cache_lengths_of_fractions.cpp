// The compiler says: heed: key lengths are integers

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::cache_lengths(std::vector<double>{4}));
}
