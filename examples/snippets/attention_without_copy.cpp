// Attention on memory that is laid out [batch, sequence, heads, dim], as projections leave it:
// heed::split_heads sees the heads in it, and nothing is copied or transposed.
#include <iostream>
#include <vector>

#include <heed/heed.hpp>

int main() {
    const int batch = 2, length = 50, heads = 4, dim = 32, width = heads * dim;
    // One buffer of [q | k | v] a token, as a single projection writes it.
    std::vector<float> qkv(std::size_t(batch * length * 3 * width));
    for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = float(i * 7919 % 1000) / 500 - 1;
    std::vector<float> out(std::size_t(batch * length * width));

    // Always seen as [batch, heads, sequence, dim], wherever the numbers lie.
    const auto rows = heed::view(qkv.data(), {batch, length, 3 * width});
    const auto part = [&](int third) { return heed::split_heads(rows, heads, third * width, dim); };
    const auto o = heed::split_heads(heed::view(out.data(), {batch, length, width}), heads);
    heed::attention_into(o, part(0), part(1), part(2), heed::causal);

    // The same on tensors with the heads moved to the front.
    using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    tensor q(batch, heads, length, dim), k(q.dimensions()), v(q.dimensions());
    tensor* tensors[] = {&q, &k, &v};
    for (int third = 0; third < 3; ++third)
        for (int b = 0; b < batch; ++b)
            for (int h = 0; h < heads; ++h)
                for (int i = 0; i < length; ++i)
                    for (int c = 0; c < dim; ++c)
                        (*tensors[third])(b, h, i, c) = part(third)(b, h, i, c);
    const tensor copied = heed::attention(q, k, v, heed::causal);
    const bool same =
        o(1, 3, 49, 31) == copied(1, 3, 49, 31) && o(0, 1, 7, 5) == copied(0, 1, 7, 5);
    std::cout << "in place " << o(1, 3, 49, 31) << ", copied " << copied(1, 3, 49, 31) << '\n';
    return same ? 0 : 1;
}
