#pragma once

/// \file
/// The interface between a program and its kernels: pointers and extents, no type whose layout or
/// functions could depend on the instruction set.

namespace kernels {

struct shape {
    long long heads, queries, keys, dim;
};

namespace sse2 {
int floats_in_a_vector();
void causal_attention(float* o, const float* q, const float* k, const float* v, shape extents);
void integer_attention(float* o, const float* q, const float* k, const float* v, shape extents);
}  // namespace sse2

namespace avx2 {
int floats_in_a_vector();
void causal_attention(float* o, const float* q, const float* k, const float* v, shape extents);
void integer_attention(float* o, const float* q, const float* k, const float* v, shape extents);
}  // namespace avx2

namespace avx512 {
int floats_in_a_vector();
void causal_attention(float* o, const float* q, const float* k, const float* v, shape extents);
void integer_attention(float* o, const float* q, const float* k, const float* v, shape extents);
}  // namespace avx512

}  // namespace kernels
