// The compiler says: heed: nystrom_attention takes no mask but heed::key_lengths, and cannot be

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::nystrom_attention(q, k, v, {.landmarks = 2}, heed::causal);
}
