// A prompt of 20 tokens at once, then 5 tokens one by one, over a cache in float and in bfloat16:
// the float one gives the rows of one call with all tokens, bit for bit.
#include <cmath>
#include <iostream>

#include <heed/heed.hpp>

using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

tensor rows(const tensor& x, long first, long count) {
    using place = Eigen::array<long, 4>;
    return x.slice(place{0, 0, first, 0}, place{1, x.dimension(1), count, x.dimension(3)});
}

int main() {
    const int heads = 4, kv_heads = 2, tokens = 25, prompt = 20, dim = 16;
    tensor q(1, heads, tokens, dim), k(1, kv_heads, tokens, dim), v(1, kv_heads, tokens, dim);
    for (tensor* x : {&q, &k, &v}) x->setRandom();
    const auto rope = heed::rope::plain({.dim = dim});
    const tensor whole = heed::attention(q, k, v, heed::causal, heed::rotary(rope));

    const heed::kv_cache_options sizes{.kv_heads = kv_heads, .dim = dim, .capacity = 64};
    heed::kv_cache<float> cache(sizes, heed::rotary(rope));
    heed::kv_cache<Eigen::bfloat16> half_as_large(sizes, heed::rotary(rope));
    bool same = true;
    float error = 0;
    for (long first = 0; first < tokens; first += first == 0 ? prompt : 1) {
        const long count = first == 0 ? prompt : 1;
        cache.append(rows(k, first, count), rows(v, first, count));
        half_as_large.append(rows(k, first, count), rows(v, first, count));
        const tensor o = heed::attention(rows(q, first, count), cache, heed::causal);
        const tensor p = heed::attention(rows(q, first, count), half_as_large, heed::causal);
        same = same && o(0, 3, count - 1, 5) == whole(0, 3, first + count - 1, 5);
        error = std::max(error, std::abs(o(0, 3, count - 1, 5) - p(0, 3, count - 1, 5)));
    }
    std::cout << cache.length(0) << " tokens, bfloat16 is off by " << error << '\n';
    return same && error < 0.01F ? 0 : 1;
}
