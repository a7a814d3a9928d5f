// Decoding from a cache of 8 bits by sums of integers: the same rows, to rounding, and the same
// bits for the prompt at once and token by token.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

tensor row(const tensor& x, long i) {
    using place = Eigen::array<long, 4>;
    return x.slice(place{0, 0, i, 0}, place{1, x.dimension(1), 1, x.dimension(3)});
}

int main() {
    const int heads = 4, kv_heads = 2, tokens = 40, dim = 16;
    tensor q(1, heads, tokens, dim), k(1, kv_heads, tokens, dim), v(1, kv_heads, tokens, dim);
    for (tensor* x : {&q, &k, &v}) x->setRandom();

    heed::kv_cache<std::int8_t> floats({.kv_heads = kv_heads, .dim = dim});
    const heed::kv_cache_options options{
        .kv_heads = kv_heads, .dim = dim, .arithmetic = heed::integer_dot};
    heed::kv_cache<std::int8_t> at_once(options), by_token(options);
    floats.append(k, v);
    at_once.append(k, v);
    const tensor expected = heed::attention(q, floats, heed::causal);
    const tensor whole = heed::attention(q, at_once, heed::causal);
    bool same = true;
    float error = 0;
    for (long i = 0; i < tokens; ++i) {
        by_token.append(row(k, i), row(v, i));
        const tensor o = heed::attention(row(q, i), by_token, heed::causal);
        same = same && o(0, 3, 0, 5) == whole(0, 3, i, 5);
        error = std::max(error, std::abs(o(0, 3, 0, 5) - expected(0, 3, i, 5)));
    }
    std::cout << "integers are off by " << error << '\n';
    return same && error < 1e-4F ? 0 : 1;
}
