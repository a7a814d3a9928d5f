// The compiler says: heed: rope::plain has no option head_dim: say .dim

#include <heed/heed.hpp>

int main() { return int(heed::rope::plain({.head_dim = 64, .base = 500000}).dim()); }
