#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <heed/attention/caches/kv_cache.hpp>
#include <heed/attention/kernel/call/stored_tensors.hpp>
#include <heed/attention/kernel/program/tensor_rows.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Appending to a cache: everything is checked and all memory taken before anything is written, and
/// what is written counts when it is complete.

namespace heed::inline HEED_ARCHITECTURE {

template <storage_type Storage>
template <class K, class V, class Count>
void kv_cache<Storage>::append_all(const K& k, const V& v, index first_sequence, index sequences,
                                   const Count& count) {
    static_assert(std::is_same_v<detail::computed_in<scalar_of<K>>, cached_scalar> &&
                      std::is_same_v<scalar_of<V>, scalar_of<K>>,
                  "heed: a cache takes k and v in the scalar that is computed in, double for a "
                  "cache of double, else float or 16 bits");
    const auto held_k = detail::evaluate("k", k);
    const auto held_v = detail::evaluate("v", v);
    const auto given_k = detail::rank4(held_k.view());
    const auto given_v = detail::rank4(held_v.view());
    const index rows = given_k.extents[2];
    const std::array<index, 4> of_k{sequences, kv_heads(), rows, dim()};
    const std::array<index, 4> of_v{sequences, kv_heads(), rows, value_dim()};
    detail::require_shape(given_k.extents == of_k, "k has shape ", given_k.extents,
                          ", but the cache takes ", of_k);
    detail::require_shape(given_v.extents == of_v, "v has shape ", given_v.extents,
                          ", but the cache takes ", of_v);
    arena& scratch = thread_workspace().slot(0);
    const arena::scope mark(scratch);
    const auto all_k = detail::widened(given_k, {}, thread_workspace(), scratch);
    const auto all_v = detail::widened(given_v, {}, thread_workspace(), scratch);
    index pages = 0;
    for (index b = 0; b < sequences; ++b) {
        const auto& one = at(first_sequence + b);
        const index added = count(b), length = one.length + added;
        detail::require_shape(length < (index(1) << 31), "sequence ", first_sequence + b,
                              " would have ", length, " keys, but there may be 2^31 - 1 at most");
        if constexpr (layout::has_scales) {
            check_finite("k", all_k, b, added);
            check_finite("v", all_v, b, added);
        }
        pages += missing_pages(one, length);
    }
    pool_->require(pages);
    for (index b = 0; b < sequences; ++b) {
        auto& one = at(first_sequence + b);
        one.pages.reserve(static_cast<std::size_t>(blocks_of(one.length + count(b)) * kv_heads()));
    }
    for (index b = 0; b < sequences; ++b)
        if (count(b) > 0) write(at(first_sequence + b), b, count(b), all_k, all_v, scratch);
    for (index b = 0; b < sequences; ++b) {
        auto& one = at(first_sequence + b);
        if (count(b) > 0) forget_before_window(one);
        one.length += count(b);
    }
}

/// Integers have no NaN and no infinity.
template <storage_type Storage>
void kv_cache<Storage>::check_finite(std::string_view name,
                                     const tensor_view<const cached_scalar, 4>& x, index batch,
                                     index count) {
    for (index h = 0; h < x.extents[1]; ++h)
        for (index i = 0; i < count; ++i)
            for (index c = 0; c < x.extents[3]; ++c)
                detail::require_argument(std::isfinite(x(batch, h, i, c)), name, " is ",
                                         static_cast<double>(x(batch, h, i, c)), " at [", batch,
                                         ", ", h, ", ", i, ", ", c,
                                         "], but a cache of integers holds finite numbers");
}

/// Pages that must be taken for so many keys: of new blocks, and copies of shared ones that will be
/// written to.
template <storage_type Storage>
index kv_cache<Storage>::missing_pages(const detail::stored_sequence& sequence, index keys) const {
    const index held = static_cast<index>(sequence.pages.size());
    index missing = std::max<index>(0, blocks_of(keys) * kv_heads() - held);
    for (index i = sequence.length / keys_a_page * kv_heads(); i < held; ++i)
        missing += sequence.pages[static_cast<std::size_t>(i)]->owners > 1 ? 1 : 0;
    return missing;
}

/// Every block up to so many keys has pages, and those that will be written to have no other owner.
template <storage_type Storage>
void kv_cache<Storage>::make_room(detail::stored_sequence& sequence, index keys) {
    const index heads = kv_heads();
    const index first = sequence.length / keys_a_page * heads;
    const index last = std::min<index>(first + heads, static_cast<index>(sequence.pages.size()));
    for (index i = first; i < last; ++i) {
        auto*& page = sequence.pages[static_cast<std::size_t>(i)];
        if (page->owners == 1) continue;
        auto* copy = pool_->take();
        std::memcpy(copy->data, page->data, pool_->page_bytes());
        copy->finite = page->finite;
        copy->moderate = page->moderate;
        pool_->give_back(page);
        page = copy;
    }
    while (static_cast<index>(sequence.pages.size()) < blocks_of(keys) * heads)
        sequence.pages.push_back(pool_->take());
}

/// No query that is to come, `rewind` tokens taken back included, sees what is forgotten.
template <storage_type Storage>
void kv_cache<Storage>::forget_before_window(detail::stored_sequence& sequence) noexcept {
    if (options_.window.value == unlimited) return;
    const index before = sequence.length - options_.window.value - options_.rewind.value + 1;
    if (before <= std::max(sequence.first_kept, keep_first())) return;
    const auto page_of = [this](index key) {
        return std::max<index>(0, key / keys_a_page - pages_behind());
    };
    const index first = std::max(blocks_of(keep_first()), page_of(sequence.first_kept));
    drop(sequence, std::min(first, page_of(before)) * kv_heads(), page_of(before) * kv_heads());
    sequence.first_kept = before;
}

/// Rows 0 … count − 1 of a sequence of tensors, behind the sequence's own, page by page.
template <storage_type Storage>
void kv_cache<Storage>::write(detail::stored_sequence& to, index batch, index count,
                              const tensor_view<const cached_scalar, 4>& k,
                              const tensor_view<const cached_scalar, 4>& v, arena& scratch) {
    make_room(to, to.length + count);
    const arena::scope mark(scratch);
    const index heads = kv_heads(), at_once = std::min(count, keys_a_page);
    detail::key_maps<cached_scalar*> keys{};
    for (std::size_t m = 0; m < parts_->maps; ++m)
        keys[m] = scratch.take<cached_scalar>(heads * at_once * dim());
    auto* buffer = scratch.take<cached_scalar>(at_once * value_dim());
    for (index done = 0; done < count;) {
        const index key = to.length + done, first = key % keys_a_page;
        const index some = std::min(count - done, keys_a_page - first);
        parts_->encode(k, batch, done, some, key, keys, scratch);
        for (index h = 0; h < heads; ++h) {
            auto& page = *to.pages[static_cast<std::size_t>(key / keys_a_page * heads + h)];
            if (first == 0) layout_->begin(page.data, key == 0 ? nullptr : page_at(to, key - 1, h));
            layout_->renew(page, first, scratch);
            for (std::size_t m = 0; m < parts_->maps; ++m)
                layout_->write_keys(page.data, static_cast<index>(m), first, some,
                                    keys[m] + h * some * dim(), key < keys_a_page);
            layout_->write_values(page.data, first, some,
                                  detail::rows_of(v, batch, h, done, some, buffer));
            page.moderate = page.moderate && layout_->are_moderate(page.data, first, some, scratch);
            page.finite = page.moderate ||
                          (page.finite && layout_->are_finite(page.data, first, some, scratch));
        }
        done += some;
    }
}

}  // namespace heed::inline HEED_ARCHITECTURE
