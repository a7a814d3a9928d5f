// The compiler says: heed: backward needs the derivative of a positive function: heed::positive(f,
// df)

#include <heed/heed.hpp>

int main() {
    const Eigen::MatrixXf x(4, 8);
    const auto f = heed::positive([](auto s) { return s * s; });
    f.backward(x, f(x), x);
}
