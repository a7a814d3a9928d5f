// The compiler says: heed: a comparison of scores or positions is a truth a lane, no bool: instead

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf q(4, 8), k(4, 8), v(4, 8);
    heed::attention(q, k, v, heed::modifier([](auto s, auto i, auto j) {
                        if (j > i) return s * 2;
                        return s;
                    }));
}
