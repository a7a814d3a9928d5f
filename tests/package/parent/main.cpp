#include <Eigen/Core>
#include <xsimd/xsimd.hpp>

#if !defined(XSIMD_OF_THE_PARENT) || !defined(EIGEN_OF_THE_PARENT)
#error "heed::heed has brought other headers than those of the project"
#endif

namespace baseline {
int kernel();
}  // namespace baseline

int main() { return baseline::kernel(); }
