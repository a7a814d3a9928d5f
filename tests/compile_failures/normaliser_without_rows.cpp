// The compiler says: heed: a part of role normaliser needs streaming<T>(head) or whole_row<T>(head)

#include <heed/heed.hpp>

struct normalises_nothing : heed::normaliser_base {};

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, normalises_nothing{});
}
