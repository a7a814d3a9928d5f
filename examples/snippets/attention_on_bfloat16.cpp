// Attention on tensors of 16-bit numbers, with sums in float.
#include <algorithm>
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<Eigen::bfloat16, 3, Eigen::RowMajor>;

int main() {
    const int heads = 4, length = 200, dim = 64;
    Eigen::Tensor<float, 3, Eigen::RowMajor> numbers(heads, length, dim);
    numbers.setRandom();
    const tensor q = numbers.cast<Eigen::bfloat16>(), k = q, v = q;

    const auto [o, stats] = heed::attention_forward(q, k, v, heed::causal);
    const auto grad = heed::attention_backward(v, o, stats, q, k, v, heed::causal);

    // The same numbers as floats.
    const Eigen::Tensor<float, 3, Eigen::RowMajor> wide = v.cast<float>();
    const auto exact = heed::attention(wide, wide, wide, heed::causal);
    float error = 0, gradient = 0;
    for (int e = 0; e < exact.size(); ++e) {
        error = std::max(error, std::abs(float(o.data()[e]) - exact.data()[e]));
        gradient = std::max(gradient, std::abs(float(grad.v.data()[e])));
    }
    std::cout << "o differs from that of floats by " << error
              << " at most, and the largest number of "
              << "dv is " << gradient << '\n';
    return error <= 0x1p-8F ? 0 : 1;  // a unit of a number below 1
}
