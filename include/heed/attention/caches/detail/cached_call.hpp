#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include <heed/attention/caches/detail/cached_encoding.hpp>
#include <heed/attention/caches/detail/integer_products.hpp>
#include <heed/attention/caches/detail/kept_keys.hpp>
#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/kernel/call/call.hpp>
#include <heed/attention/kernel/call/choices.hpp>
#include <heed/attention/kernel/call/contracts.hpp>
#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/kernel/online/dealt_pages.hpp>
#include <heed/attention/kernel/online/joint_rows.hpp>
#include <heed/attention/kernel/products/bfloat16_products.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/row_keys.hpp>
#include <heed/attention/kernel/program/program.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>

/// \file
/// A call of attention over a cache: the same parts, and those that the cache adds.

namespace heed::inline HEED_ARCHITECTURE {

template <storage_type Storage>
class kv_cache<Storage>::access final : public detail::key_blocks<cached_scalar> {
    using scalar = cached_scalar;

  public:
    explicit access(const kv_cache& cache) : cache_(cache) {}

    /// The shape of a call with these queries, or the shape_error that says why there is none.
    template <class S>
    attention_shape shape(const tensor_view<const S, 4>& q) const {
        detail::check_view("q", q);
        const auto& [batch, heads, queries, dim] = q.extents;
        detail::require_shape(batch == cache_.batch() && dim == cache_.dim(), "q has shape ",
                              q.extents, ", but the cache has ", cache_.batch(),
                              " sequences of keys of ", cache_.dim(), " numbers");
        detail::require_shape(heads % cache_.kv_heads() == 0, "q has ", heads,
                              " heads and the cache has ", cache_.kv_heads(),
                              ", but those of the cache must divide those of q");
        for (index b = 0; b < batch; ++b) {
            const auto& sequence = cache_.at(b);
            if (sequence.first_kept == 0) continue;
            const index kept = sequence.length - sequence.first_kept;
            detail::require_shape(
                queries + cache_.options_.window.value - 1 <= kept, "q has ", queries,
                " queries with a window of ", cache_.options_.window.value,
                " keys each, but the cache has kept the last ", kept, " keys of sequence ", b);
        }
        return cache_.shape_of(heads, queries, cache_.length());
    }

    index length(index batch) const { return cache_.at(batch).length; }
    detail::cached_encoding<scalar> encoding() const {
        return detail::cached_encoding<scalar>(*cache_.parts_);
    }
    bool normalises_key() const { return cache_.parts_->normalises_key; }
    std::optional<detail::kept_keys_mask> mask() const {
        if (cache_.options_.window.value == unlimited) return {};
        return detail::kept_keys_mask(cache_.options_.window.value, cache_.keep_first());
    }

    detail::head_block<scalar> take(arena& scratch, detail::block_part wanted,
                                    bool in_pairs) const override {
        return cache_.layout_->take(scratch, wanted, in_pairs);
    }
    void find(index batch, index kv_head, index number,
              detail::head_block<scalar>& to) const override {
        const auto& sequence = cache_.at(batch);
        const auto place = static_cast<std::size_t>(number * cache_.kv_heads() + kv_head);
        const auto behind = place + static_cast<std::size_t>(cache_.kv_heads());
        const auto& page = *sequence.pages[place];
        const auto* next = behind < sequence.pages.size() ? sequence.pages[behind] : nullptr;
        const index keys = std::min(sequence.length - number * keys_a_page, keys_a_page);
        cache_.layout_->find(page.data, next == nullptr ? nullptr : next->data, keys, to);
        to.finite = page.finite;
        to.all_moderate = to.all_moderate && page.moderate;
    }
    void make_ready(detail::head_block<scalar>& to) const override {
        cache_.layout_->make_ready(to);
    }
    bool multiplies_integers() const override { return cache_.options_.arithmetic == integer_dot; }
    void join_queries(scalar* rows, index count, scalar* factor) const override {
        if constexpr (layout::has_scales)
            detail::join_integer_queries(rows, count, cache_.dim(), factor);
    }
    void multiply_keys(const detail::head_block<scalar>& block, const scalar* strips, index rows,
                       const scalar* factor, key_interval range, scalar* scores,
                       scalar* lane_maximum) const override {
        if constexpr (layout::has_scales)
            if (multiplies_integers())
                return cache_.layout_->multiply_integer_keys(block.page, strips, rows, factor,
                                                             range, scores, lane_maximum);
        cache_.layout_->multiply_keys(block.page, strips, rows, range, scores, lane_maximum);
    }
    void multiply_values(const detail::head_block<scalar>& block, const scalar* weights, index rows,
                         index first, index keys, scalar* sums, index sums_stride) const override {
        if constexpr (layout::has_scales)
            if (multiplies_integers())
                return cache_.layout_->multiply_integer_values(block.page, weights, rows, first,
                                                               keys, sums, sums_stride);
        cache_.layout_->multiply_values(block.page, weights, rows, first, keys, sums, sums_stride);
    }
    const scalar* pack_row_queries(const scalar* rows, index count, index dim,
                                   arena& scratch) const override {
        scalar* panels = scratch.take<scalar>(detail::query_panels_size<scalar>(count, dim));
        detail::pack_query_panels<scalar>(rows, count, dim, panels);
        return panels;
    }
    void multiply_row_keys(const scalar* queries, index count, const detail::row_keys<scalar>& keys,
                           key_interval range, scalar* scores,
                           scalar* lane_maximum) const override {
        detail::multiply_row_keys(queries, count, keys, range, scores, lane_maximum);
    }
    bool deals_pages(const detail::attention_program<scalar>& program,
                     index threads) const override {
        return detail::deals_pages(program, threads);
    }
    void deal_pages(const detail::head_group<scalar>& group, index batch, key_interval seen,
                    index threads) const override {
        detail::deal_pages(group, batch, seen, threads);
    }
    index next(index batch, index number) const override {
        if (number < blocks_of(cache_.keep_first())) return number;
        return std::max(number, cache_.at(batch).first_kept / keys_a_page);
    }
    const scalar* value_row(index batch, index kv_head, index key, scalar* buffer) const override {
        std::byte* page = cache_.page_at(cache_.at(batch), key, kv_head);
        return cache_.layout_->read_value(page, key % keys_a_page, buffer);
    }

  private:
    const kv_cache& cache_;
};

namespace detail {

/// Where the queries of a call over a cache stand: each sequence's at its own end.
template <class Access>
class cached_positions : public positions_base {
  public:
    static constexpr bool keys_at_their_indices = true;

    explicit cached_positions(const Access& cache) : cache_(&cache) {}

    index length(index batch) const { return cache_->length(batch); }
    call_positions prepare(arena& scratch, const attention_shape& shape) const {
        return queries_at_ends(scratch, shape, [this](index b) { return length(b); });
    }

  private:
    const Access* cache_;
};

/// Stops the compilation with one sentence if these parts are not for a cache.
template <class... Parts>
constexpr bool check_cached_parts() {
    constexpr bool encodes = count_of<role::position_encoding, Parts...> != 0;
    static_assert(!encodes,
                  "heed: a position encoding acts on keys once, when they are appended: it is a "
                  "part of the cache, which then turns the queries too");
    constexpr bool places = count_of<role::positions, Parts...> != 0;
    static_assert(!places,
                  "heed: a cache knows where its keys stand, and its queries stand at their end: "
                  "heed::positions and heed::cache_lengths are for tensors");
    constexpr bool biases = (may_be_input_bias<false, Parts> || ...);
    static_assert(!biases, "heed: heed::key_bias is a part of the cache");
    return !encodes && !places && !biases;
}

/// The norm of keys is the cache's, that of queries the call's: a scale of both must find it there.
template <class T, class Access, class... Parts>
void check_key_norm(const Access& access, const Parts&... parts) {
    [[maybe_unused]] const auto check = [&]<class Part>(const Part& part) {
        if constexpr (part_of<Part, role::scale>) {
            constexpr bool wanted = std::remove_cvref_t<decltype(unwrap(part))>::normalises_key;
            require_argument(!wanted || access.normalises_key(),
                             "the scale takes keys of length 1, but the cache was made without "
                             "heed::key_norm");
        }
    };
    (visit_part(parts, check), ...);
}

/// Calls f(attention_call) with everything checked.
template <class Q, class Storage, class F, class... Parts>
void with_cached_call(const Q& q, const kv_cache<Storage>& cache, F&& f, const Parts&... parts) {
    using S = scalar_of<Q>;
    using T = computed_scalar<Storage>;
    static_assert(std::is_same_v<computed_in<S>, T>,
                  "heed: q must have the scalar that a cache computes in, double for a cache of "
                  "double, else float or 16 bits");
    check_parts<Parts...>();
    if constexpr ((is_part<Parts> && ...)) {
        if constexpr ((check_contracts<T, Parts>() && ...) && check_cached_parts<Parts...>()) {
            const auto held_q = evaluate(q);
            const typename kv_cache<Storage>::access access(cache);
            const auto queries = rank4(held_q.view());
            const attention_shape shape = access.shape(queries);
            check_key_norm<T>(access, parts...);
            const cached_positions positions(access);
            const auto encoding = access.encoding();
            const auto mask = access.mask();
            using call_type = attention_call<T, Parts..., std::remove_cv_t<decltype(positions)>,
                                             std::remove_cv_t<decltype(encoding)>,
                                             std::remove_cv_t<decltype(mask)>>;
            const auto* pairs = cache.values_in_keys() ? products_of<T, Storage>() : nullptr;
            if constexpr (std::is_same_v<S, T>) {
                call_type call(shape, queries, access, parts..., positions, encoding, mask);
                call.pairs = pairs;
                f(std::as_const(call));
            } else {
                const tensor_view<const T, 4> none{};
                const std::array<memory_span, 3> stored{queries, none, none};
                call_type call(shape, none, access, parts..., positions, encoding, mask);
                call.pairs = pairs;
                call.stored = &stored;
                arena& scratch = call.memory().slot(0);
                const arena::scope mark(scratch);
                call.q = widened(queries, call.threads(), call.memory(), scratch);
                f(std::as_const(call));
            }
        }
    }
}

/// An object of q's kind for o; shapes are checked before memory is asked for.
template <class Q, class Storage>
auto make_cached_output(const Q& q, const kv_cache<Storage>& cache) {
    const auto held_q = evaluate(q);
    const typename kv_cache<Storage>::access access(cache);
    const attention_shape shape = access.shape(rank4(held_q.view()));
    auto extents = held_q.view().extents;
    extents.back() = shape.value_dim;
    check_result<scalar_of<Q>>("o", extents);
    return make_like<Q>(extents);
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
