// Attention on Eigen tensors: eight query heads that share two heads of keys and values, causal.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

int main() {
    const int batch = 2, heads = 8, kv_heads = 2, length = 100, dim = 64;
    tensor q(batch, heads, length, dim), k(batch, kv_heads, length, dim), v(k.dimensions());
    q.setRandom();
    k.setRandom();
    v.setRandom();

    const tensor o = heed::attention(q, k, v, heed::causal);

    // The definition, for the last query of the last head of the first sequence.
    const int i = length - 1, h = heads - 1, shared = h * kv_heads / heads;
    double sum = 0, expected = 0;
    for (int j = 0; j <= i; ++j) {
        double score = 0;
        for (int c = 0; c < dim; ++c) score += double(q(0, h, i, c)) * double(k(0, shared, j, c));
        const double p = std::exp(score / std::sqrt(double(dim)));
        sum += p;
        expected += p * double(v(0, shared, j, 0));
    }
    expected /= sum;

    std::cout << "o is " << o.dimensions() << "; o(0, " << h << ", " << i
              << ", 0) = " << o(0, h, i, 0) << ", by the definition " << expected << '\n';
    // The first query sees only the first key, so its output is the first value.
    const bool right =
        std::abs(double(o(0, h, i, 0)) - expected) < 1e-5 && o(0, 0, 0, 0) == v(0, 0, 0, 0);
    return right ? 0 : 1;
}
