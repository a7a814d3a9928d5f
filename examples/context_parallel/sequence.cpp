#include "sequence.hpp"

namespace context_parallel {

std::vector<stretch> stretches_of(int rank, int ranks, index tokens, placement how) {
    const auto nth_of = [tokens](index n, index count) {
        return stretch{tokens * n / count, tokens * (n + 1) / count};
    };
    if (how == placement::contiguous) return {nth_of(rank, ranks)};
    return {nth_of(rank, 2 * ranks), nth_of(2 * ranks - 1 - rank, 2 * ranks)};
}

index tokens_of(const std::vector<stretch>& stretches) {
    index sum = 0;
    for (const stretch& one : stretches) sum += one.count();
    return sum;
}

sight sight_of(const stretch& queries, const stretch& keys, bool causal) {
    if (queries.count() == 0 || keys.count() == 0) return sight::nothing;
    if (!causal || keys.last <= queries.first) return sight::all;
    return keys.first == queries.first ? sight::up_to_themselves : sight::nothing;
}

}  // namespace context_parallel
