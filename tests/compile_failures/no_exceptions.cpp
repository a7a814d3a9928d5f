// The compiler says: heed needs exceptions, by which it reports wrong arguments

// Compiled with: -fno-exceptions

#include <heed/heed.hpp>

int main() {}
