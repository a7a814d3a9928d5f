namespace HEED_ENTRY {
int kernel() { return 0; }
}  // namespace HEED_ENTRY
