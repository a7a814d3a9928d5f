// The compiler says: heed: a cache takes what acts on keys alone

#include <heed/heed.hpp>

int main() { heed::kv_cache<float> cache({.dim = 8}, heed::causal); }
