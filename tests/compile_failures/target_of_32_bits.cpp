// The compiler says: heed needs a 64-bit target: compile without -m32

// Compiled with: -m32 -msse2 -mfpmath=sse (x86)

#include <heed/core/architecture.hpp>  // first: -m32 may lack the standard library
#include <heed/heed.hpp>

int main() {}
