#include "decode.hpp"

#include <cstddef>
#include <span>

#include <heed/attention/caches/cached_attention.hpp>
#include <heed/distributed/merge.hpp>

namespace context_parallel {

namespace {

enum tag { output_tag, stats_tag };

/// The memory of o, and of the statistics of its rows.
std::span<std::byte> bytes_of(tensor& o) {
    return std::as_writable_bytes(std::span(o.data(), static_cast<std::size_t>(o.size())));
}
template <class Stats>
std::span<std::byte> bytes_of(Stats& stats) {
    const auto [batches, heads, queries] = stats.extents();
    return std::as_writable_bytes(
        std::span(stats.data(), static_cast<std::size_t>(batches * heads * queries)));
}

}  // namespace

tensor decode(const cluster& ranks, const tensor& q, const heed::kv_cache<float>& own,
              account& spent) {
    auto [o, stats] = heed::attention_forward(q, own);
    for (int step = 1; step < ranks.size(); step *= 2) {
        if (ranks.rank() % (2 * step) != 0) {
            transfer::send(bytes_of(o), ranks.rank() - step, output_tag, spent).wait(spent);
            transfer::send(bytes_of(stats), ranks.rank() - step, stats_tag, spent).wait(spent);
            break;
        }
        if (ranks.rank() + step >= ranks.size()) continue;
        tensor o_part(o.dimensions());
        auto part = stats;  // of the same rows; the numbers come
        transfer::receive(bytes_of(o_part), ranks.rank() + step, output_tag).wait(spent);
        transfer::receive(bytes_of(part), ranks.rank() + step, stats_tag).wait(spent);
        heed::merge(o, stats, o_part, part);
    }
    ranks.broadcast(std::span(o.data(), static_cast<std::size_t>(o.size())));
    return o;
}

}  // namespace context_parallel
