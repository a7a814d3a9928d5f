// The compiler says: heed needs SSE2 or another instruction set that xsimd knows

// Compiled with: -m32 -mno-sse2 (x86)

#include <heed/core/architecture.hpp>  // first: -m32 may lack the standard library
#include <heed/heed.hpp>

int main() {}
