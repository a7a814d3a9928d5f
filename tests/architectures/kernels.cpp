// Compiled once an instruction set; HEED_ENTRY is its name.

#include "kernels.hpp"

#include <cstdint>

#include <heed/heed.hpp>

namespace kernels::HEED_ENTRY {

int floats_in_a_vector() { return static_cast<int>(heed::vec<float>::size); }

void causal_attention(float* o, const float* q, const float* k, const float* v, shape extents) {
    const auto [heads, queries, keys, dim] = extents;
    heed::attention_into(heed::view(o, {heads, queries, dim}), heed::view(q, {heads, queries, dim}),
                         heed::view(k, {heads, keys, dim}), heed::view(v, {heads, keys, dim}),
                         heed::causal);
}

void integer_attention(float* o, const float* q, const float* k, const float* v, shape extents) {
    const auto [heads, queries, keys, dim] = extents;
    heed::kv_cache<std::int8_t> cache(
        {.kv_heads = heads, .dim = dim, .arithmetic = heed::integer_dot});
    cache.append(heed::view(k, {heads, keys, dim}), heed::view(v, {heads, keys, dim}));
    heed::attention_into(heed::view(o, {heads, queries, dim}), heed::view(q, {heads, queries, dim}),
                         cache, heed::causal, heed::relu_squared);
}

}  // namespace kernels::HEED_ENTRY
