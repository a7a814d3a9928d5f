// The compiler says: heed: parallel_contexts goes into per_head_mask only beside masks by index

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    const std::vector<int> offsets{0, 2, 3};
    heed::attention(q, k, v, heed::per_head_mask(heed::causal, heed::parallel_contexts(offsets)));
}
