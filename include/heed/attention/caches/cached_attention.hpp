#pragma once

#include <tuple>
#include <utility>

#include <heed/attention/attention.hpp>
#include <heed/attention/caches/detail/cached_call.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/storage.hpp>

/// \file
/// Exact attention over a cache: the calls of attention.hpp with a heed::kv_cache in the place of k
/// and v.
///
/// q is [batch, heads, queries, dim] of any rank that attention takes, in the scalar that the cache
/// computes in, or where that is float in 16 bits, of which o is then too, rounded once; sequence
/// b's queries stand at the end of its own keys, query i at length(b) − N + i, so append before you
/// attend. All masks, modifiers, scales, normalisers, observers, heed::on
/// and heed::in are parts as elsewhere; a position encoding is the cache's.
///
/// A row of the result has the same bits however the tokens were cut into calls and sequences put
/// into batches; over a cache of float or double it has those of attention(q, k, v).

namespace heed::inline HEED_ARCHITECTURE {

/// attention over a cache, written to the caller's memory.
template <class O, class Q, class Storage, class... Parts>
void attention_into(O&& o, const Q& q, const kv_cache<Storage>& cache, const Parts&... parts) {
    detail::check_forward_parts<Parts...>();
    detail::with_cached_call(
        q, cache,
        [&](const auto& call) {
            using S = scalar_of<Q>;
            detail::run_into<S, Parts...>(o, detail::no_stats<S, Parts...>, call);
        },
        parts...);
}

/// o [batch, heads, queries, value_dim], an object of q's kind.
///
///     cache.append(k, v);
///     auto o = heed::attention(q, cache, heed::causal);
template <class Q, class Storage, class... Parts>
[[nodiscard]] auto attention(const Q& q, const kv_cache<Storage>& cache, const Parts&... parts) {
    auto o = detail::make_cached_output(q, cache);
    attention_into(o, q, cache, parts...);
    return o;
}

/// attention_into that also keeps the stats of the rows.
template <class O, class Scalar, class Normaliser, class Q, class Storage, class... Parts>
void attention_forward_into(O&& o, stats<Scalar, Normaliser>& kept, const Q& q,
                            const kv_cache<Storage>& cache, const Parts&... parts) {
    detail::check_forward_parts<Parts...>();
    detail::with_cached_call(
        q, cache,
        [&](const auto& call) { detail::run_into<scalar_of<Q>, Parts...>(o, &kept, call); },
        parts...);
}

/// o, and the stats of its rows, by which partial results can be merged: `auto [o, stats] = …`,
/// and behind them what observers saw.
template <class Q, class Storage, class... Parts>
[[nodiscard]] auto attention_forward(const Q& q, const kv_cache<Storage>& cache,
                                     const Parts&... parts) {
    using T = detail::computed_in<scalar_of<Q>>;
    auto o = detail::make_cached_output(q, cache);
    attention_shape rows;
    if constexpr ((detail::is_unbound_observer<Parts> || ...)) rows = detail::rows_of_output(o);
    return detail::make_forward_result<stats_for<T, Parts...>>(
        std::move(o), std::tuple_cat(detail::make_observed<T>(parts, rows)...), std::tie(q, cache),
        parts...);
}

}  // namespace heed::inline HEED_ARCHITECTURE
