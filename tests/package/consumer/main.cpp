#include <cmath>

namespace kernels::sse2 {
void mean_of_values(float* o, const float* v, long long keys);
}

int main() {
    const float v[] = {1, 2, 3, 6};
    float o = 0;
    kernels::sse2::mean_of_values(&o, v, 4);
    return std::abs(o - 3) < 1e-6F ? 0 : 1;
}
