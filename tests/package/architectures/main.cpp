// Both sources' functions are there for each architecture that is said to be.

namespace kernels::baseline {
int one();
int two();
}  // namespace kernels::baseline
namespace kernels::sse2 {
int one();
int two();
}  // namespace kernels::sse2
namespace kernels::avx2 {
int one();
int two();
}  // namespace kernels::avx2
namespace kernels::neon {
int one();
int two();
}  // namespace kernels::neon

int main() {
    int sum = 0, architectures = 0;
#if defined(HEED_HAS_BASELINE)
    sum += kernels::baseline::one() + kernels::baseline::two();
    ++architectures;
#endif
#if defined(HEED_HAS_SSE2)
    sum += kernels::sse2::one() + kernels::sse2::two();
    ++architectures;
#endif
#if defined(HEED_HAS_AVX2)
    sum += kernels::avx2::one() + kernels::avx2::two();
    ++architectures;
#endif
#if defined(HEED_HAS_NEON)
    sum += kernels::neon::one() + kernels::neon::two();
    ++architectures;
#endif
    return architectures > 0 && sum == 3 * architectures ? 0 : 1;
}
