// The compiler says: heed: heed::split_heads is a view: it takes an object that lies in memory and

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(heed::split_heads(q * 2, 2), heed::split_heads(k, 2), heed::split_heads(v, 2));
}
