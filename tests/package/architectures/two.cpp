namespace kernels::HEED_ENTRY {
int two() { return 2; }
}  // namespace kernels::HEED_ENTRY
