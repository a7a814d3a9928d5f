// The compiler says: heed needs NaN, infinities and exact rounding: compile without -ffast-math
#define __FAST_MATH__ 1  // as -ffast-math does
#include <heed/attention/attention.hpp>

int main() {}
