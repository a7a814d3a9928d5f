// The compiler says: heed: a part of role mask needs on_row<T>(query_row)

#include <heed/heed.hpp>

struct says_nothing : heed::mask_base {};

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, says_nothing{});
}
