// VO-RoPE: rotary positions on values and outputs, o_i = R_iᵀ Σ_j p_ij R_j v_j, forward and
// backward, out of what there is: rotate v, attend, rotate o back.
#include <iostream>

#include <heed/heed.hpp>

int main() {
    using matrix = Eigen::MatrixXd;
    const int n = 48, m = 64, dim = 16, first = m - n;  // the last n of m tokens ask
    const matrix q = matrix::Random(n, dim), k = matrix::Random(m, dim),
                 d_o = matrix::Random(n, dim);
    matrix v = matrix::Random(m, dim);
    const auto rope = heed::rope::plain({.dim = dim});

    const auto forward = [&] {
        const matrix turned = heed::rotate(v, rope);
        const auto [inner, stats] = heed::attention_forward(q, k, turned, heed::causal);
        const matrix o = heed::rotate_back(inner, rope, first);
        // Backward is the same walk the other way: R_iᵀ is transposed to R_i, R_j to R_jᵀ.
        const auto gradient = heed::attention_backward(heed::rotate(d_o, rope, first), inner, stats,
                                                       q, k, turned, heed::causal);
        const matrix dv = heed::rotate_back(gradient.v, rope);
        return std::pair{o, dv};
    };

    const auto [o, dv] = forward();
    v(5, 3) += 1e-4;  // central differences: the gradient is exact
    const double ahead = forward().first.cwiseProduct(d_o).sum();
    v(5, 3) -= 2e-4;
    const double slope = (ahead - forward().first.cwiseProduct(d_o).sum()) / 2e-4;
    std::cout << "the gradient says " << dv(5, 3) << ", differences " << slope << '\n';
    return std::abs(dv(5, 3) - slope) < 1e-8 ? 0 : 1;
}
