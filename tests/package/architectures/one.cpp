namespace kernels::HEED_ENTRY {
int one() { return 1; }
}  // namespace kernels::HEED_ENTRY
