#include <Eigen/Core>
#include <xsimd/xsimd.hpp>

#if !__has_include(<heed/heed.hpp>)
#error "heed::heed has not brought its own headers"
#endif

int main() { return Eigen::Vector2i(0, 0).sum(); }
