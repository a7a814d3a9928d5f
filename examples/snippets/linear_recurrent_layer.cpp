// A layer of linear recurrent units (arXiv 2303.06349): y = Re(C x), x_t = λ x_{t−1} + γ B w_t,
// with the two complex products as real ones, and the gradient of its input.
#include <iostream>

#include <heed/heed.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
    const int tokens = 200, width = 24, channels = 32;
    const matrix w = matrix::Random(tokens, width);
    matrix b(2 * channels, width), c(width, 2 * channels);  // [Re B ; Im B], [Re C, −Im C]
    heed::init::lecun.into(b.transpose(), 1);
    heed::init::lecun.into(c.transpose(), 2);
    Eigen::VectorXf nu_log(channels), theta_log(channels), gamma(channels);
    heed::init::recurrent_ring({.least = 0.9, .greatest = 0.99}).into(nu_log, theta_log, gamma, 3);
    const auto unit = heed::linear_recurrent_unit(nu_log, theta_log, gamma);

    const auto loss = [&](const matrix& input) {  // ½‖y‖²
        return heed::project(unit(heed::project(input, heed::weights(b))), heed::weights(c))
                   .squaredNorm() /
               2;
    };
    const matrix u = heed::project(w, heed::weights(b)), x = unit(u),
                 y = heed::project(x, heed::weights(c));
    const matrix dx = y * c;
    const auto grad = unit.backward(dx, x, u);
    const matrix dw = grad.u * b;

    const float step = 1e-2F;
    matrix above = w, below = w;
    above(50, 3) += step;
    below(50, 3) -= step;
    const float slope = (loss(above) - loss(below)) / (2 * step);
    std::cout << "slope " << slope << ", gradient " << dw(50, 3) << '\n';
    return std::abs(slope - dw(50, 3)) < 0.05F * (1 + std::abs(slope)) ? 0 : 1;
}
