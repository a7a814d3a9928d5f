// Nyström attention: as many landmarks as a picture needs, and what they leave out. Neighbouring
// tokens are alike here, as in signals and images; then a few landmarks stand for all of them.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

int main() {
    using matrix = Eigen::MatrixXf;
    const int n = 1024, dim = 16;
    const auto smooth = [&](float speed) {  // rows that turn slowly
        matrix x(n, dim);
        for (int i = 0; i < n; ++i)
            for (int c = 0; c < dim; ++c)
                x(i, c) =
                    std::sin(speed * static_cast<float>(i * (c + 1)) / n + static_cast<float>(c));
        return x;
    };
    const matrix q = smooth(3), k = smooth(4), v = smooth(5);

    const matrix exact = heed::attention(q, k, v);
    float error = 0;
    for (const int landmarks : {4, 16, 64}) {
        const matrix o = heed::nystrom_attention(q, k, v, {.landmarks = landmarks});
        error = (o - exact).norm() / exact.norm();
        std::cout << landmarks << " landmarks: relative error " << error << '\n';
    }
    return error < 0.05F ? 0 : 1;
}
