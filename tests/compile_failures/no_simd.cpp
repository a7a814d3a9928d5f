// The compiler says: heed needs SSE2 or another instruction set that xsimd knows

// Compiled with: -mno-sse2 (x86)

#include <heed/heed.hpp>

int main() {}
