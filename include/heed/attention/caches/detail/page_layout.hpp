#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <heed/attention/caches/detail/channel_factors.hpp>
#include <heed/attention/caches/detail/integer_products.hpp>
#include <heed/attention/caches/detail/page_places.hpp>
#include <heed/attention/caches/detail/page_pool.hpp>
#include <heed/attention/caches/detail/paired_pages.hpp>
#include <heed/attention/kernel/products/key_blocks.hpp>
#include <heed/attention/kernel/products/paired_products.hpp>
#include <heed/attention/kernel/products/streamed_products.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/pack.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// How keys and values get into a page and out of it: rounded to what is stored, and read
/// as what is computed in.

namespace heed::inline HEED_ARCHITECTURE::detail {

template <class Storage>
class page_layout : public page_places<Storage> {
    using places = page_places<Storage>;
    using places::dim_, places::value_dim_, places::maps_, places::shared_, places::panel_dim_,
        places::has_factors_;
    using places::keys, places::values, places::key_scales, places::value_scales,
        places::key_factors, places::factor;

  public:
    using places::has_scales, places::keys_a_page, places::width, places::stride;
    using typename places::scalar;
    using page_places<Storage>::page_places;

    /// Before the first key of a page is written: its factors, by the page before it, which is
    /// full, or is null for the first page of a sequence.
    void begin(std::byte* page, std::byte* before) const {
        if constexpr (has_scales) {
            for (index m = 0; m < maps_ && has_factors_; ++m) {
                if (before == nullptr)
                    std::fill_n(key_factors(page, m, 0), static_cast<std::size_t>(panel_dim_),
                                1.0F);
                else
                    find_factors(before, m, keys_a_page, key_factors(page, m, 0));
                repeat_factors(page, m, 0);
            }
        }
    }

    /// Rows from[r·dim] of a map become keys `first` … of a page, which may be that of the first
    /// keys of a sequence.
    void write_keys(std::byte* page, index map, index first, index count, const scalar* from,
                    bool begins_sequence) const {
        Storage* panels = keys(page, map);
        from += shared_;
        for (index r = 0; r < count; ++r, from += dim_) {
            const index key = first + r;
            Storage* to = panels + key / width * width * panel_dim_ + key % width;
            if constexpr (has_scales) {
                if (has_factors_ && begins_sequence && begins_stretch(key)) {
                    find_factors(page, map, key, key_factors(page, map, key));
                    repeat_factors(page, map, key);
                }
                const auto channel = [&](index c) { return from[c] / factor(page, map, key, c); };
                float most = 0;
                for (index c = 0; c < panel_dim_; ++c) most = std::max(most, std::abs(channel(c)));
                const float scale = integer_scale(most);
                key_scales(page, map)[key] = scale;
                for (index c = 0; c < panel_dim_; ++c)
                    to[c * width] = narrow_scaled(channel(c), scale);
            } else {
                for (index c = 0; c < panel_dim_; ++c) to[c * width] = narrow<Storage>(from[c]);
            }
        }
    }
    /// Contiguous rows become values `first` … of a page.
    void write_values(std::byte* page, index first, index count,
                      const contiguous_rows<scalar>& from) const {
        for (index r = 0; r < count; ++r) {
            const scalar* row = from[r];
            Storage* to = values(page) + (first + r) * stride();
            if constexpr (has_scales) {
                const float scale = integer_scale(largest(row, value_dim_));
                value_scales(page)[first + r] = scale;
                for (index c = 0; c < value_dim_; ++c) to[c] = narrow_scaled(row[c], scale);
            } else {
                for (index c = 0; c < value_dim_; ++c) to[c] = narrow<Storage>(row[c]);
            }
        }
    }

    /// A key as it is stored. `to` has room for a padded value.
    void read_key(std::byte* page, index map, index key, scalar* to) const {
        if (shared_ > 0) {
            const scalar* value = read_value(page, key, to);
            if (value != to) std::copy_n(value, shared_, to);
            to += shared_;
        }
        const Storage* from = keys(page, map) + key / width * width * panel_dim_ + key % width;
        for (index c = 0; c < panel_dim_; ++c)
            if constexpr (has_scales)
                to[c] = key_scales(page, map)[key] * factor(page, map, key, c) *
                        static_cast<float>(from[c * width]);
            else
                to[c] = static_cast<scalar>(from[c * width]);
    }
    /// A value as it is stored, up to value_dim; the row itself where numbers need no widening.
    const scalar* read_value(std::byte* page, index key, scalar* buffer) const {
        Storage* from = values(page) + key * stride();
        if constexpr (is_read_in_place<Storage>)
            return from;
        else
            widen_values(page, key, 1, buffer);
        return buffer;
    }

    /// Memory for what is wanted of a page's numbers, where they are not read in place. Keys that
    /// begin with their values are made of them, but `in_pairs`, whose rows are.
    head_block<scalar> take(arena& scratch, block_part wanted, bool in_pairs) const {
        head_block<scalar> block;
        block.shared_dim = shared_;
        block.other_dim = panel_dim_;
        block.in_pairs = in_pairs;
        if (in_pairs) {
            block.reads_rows = true;
            if (wanted != block_part::values)
                block.key_panels[0] = scratch.take<scalar>(keys_a_page * 2 * quads_of(panel_dim_));
            if (wanted != block_part::keys)
                block.values = scratch.take<scalar>(pairs_of(keys_a_page) * stride());
            return block;
        }
        const bool wants_keys = wanted != block_part::values;
        const bool wants_values = wanted != block_part::keys || shared_ > 0;
        if (wants_keys && (!is_read_in_place<Storage> || shared_ > 0))
            for (index m = 0; m < maps_; ++m)
                block.key_panels[static_cast<std::size_t>(m)] =
                    scratch.take<scalar>(packed_size<scalar>(width, keys_a_page, dim_));
        if (wants_values && !is_read_in_place<Storage>)
            block.values = scratch.take<scalar>(keys_a_page * stride());
        return block;
    }
    /// The first `count` keys and values of a page are what is read next, in place if that can be;
    /// keys that begin with their values are ready at once. `next` is the page that is read after
    /// this one, or null.
    void find(std::byte* page, std::byte* next, index count, head_block<scalar>& to) const {
        to.page = page;
        to.keys = count;
        if constexpr (is_multiplied_by_pairs<Storage>)
            if (to.in_pairs) return join_numbers(next, to);
        to.is_ready = is_read_in_place<Storage>;
        if constexpr (is_read_in_place<Storage>) {
            for (index m = 0; m < maps_ && shared_ == 0; ++m)
                to.key_panels[static_cast<std::size_t>(m)] = keys(page, m);
            to.values = values(page);
        }
        if (shared_ > 0) {
            make_ready(to);
            to.key_rows = to.values;
            if (to.reads_rows)
                find_other_keys(to);
            else if (to.key_panels[0] != nullptr)
                join_keys(to);
        }
    }
    /// Numbers that cannot be read in place become floats, those that there is memory for: whole
    /// panels, since kernels read those that nobody sees as well.
    void make_ready(head_block<scalar>& to) const {
        if constexpr (!is_read_in_place<Storage>) {
            const index count = round_up(to.keys, width);
            for (index m = 0; m < maps_ && shared_ == 0 && to.key_panels[0] != nullptr; ++m)
                widen_keys(to.page, m, count, to.key_panels[static_cast<std::size_t>(m)]);
            if (to.values != nullptr) widen_values(to.page, 0, count, to.values);
            to.is_ready = true;
        }
    }

    /// multiply_streamed_keys of a page's first map.
    void multiply_keys(std::byte* page, const scalar* strips, index rows, key_interval range,
                       scalar* scores, scalar* lane_maximum) const {
        const auto multiply = [&](auto&& panel) {
            multiply_streamed_keys(strips, rows, panel, range, dim_, scores, lane_maximum);
        };
        const auto numbers = [=, this](index key) { return keys(page, 0) + key * dim_; };
        if constexpr (!has_scales) {
            multiply(numbers);
        } else if (!has_factors_) {
            multiply([=, this](index key) {
                return scaled_columns{numbers(key), key_scales(page, 0) + key};
            });
        } else {
            multiply([=, this](index key) {
                return scaled_rows_and_columns{numbers(key), key_factors(page, 0, key),
                                               key_scales(page, 0) + key};
            });
        }
    }
    /// multiply_streamed_values of a page from its `first` key on.
    void multiply_values(std::byte* page, const scalar* weights, index rows, index first,
                         index count, scalar* sums, index sums_stride) const {
        const auto from = [=, this] {
            const Storage* numbers = values(page) + first * stride();
            if constexpr (has_scales)
                return scaled_rows{numbers, value_scales(page) + first};
            else
                return numbers;
        };
        multiply_streamed_values(weights, rows, count, from(), stride(), value_dim_, sums,
                                 sums_stride);
    }

    /// The same two in integers; for scales a key.
    void multiply_integer_keys(std::byte* page, const scalar* strips, index rows,
                               const scalar* query_factor, key_interval range, scalar* scores,
                               scalar* lane_maximum) const {
        detail::multiply_integer_keys(strips, rows, query_factor, keys(page, 0),
                                      key_scales(page, 0), range, dim_, scores, lane_maximum);
    }
    void multiply_integer_values(std::byte* page, const scalar* weights, index rows, index first,
                                 index count, scalar* sums, index sums_stride) const {
        detail::multiply_integer_values(weights, rows, count, values(page) + first * stride(),
                                        value_scales(page) + first, stride(), value_dim_, sums,
                                        sums_stride);
    }

    /// Before values from `first` on are written: what was there before, if it was not moderate,
    /// must not be read beside what is to come, nor be held against it.
    void renew(cache_page& page, index first, arena& scratch) const {
        if (page.moderate) return;
        page.moderate = are_moderate(page.data, 0, first, scratch);
        page.finite = page.moderate || are_finite(page.data, 0, first, scratch);
        if (!page.finite) return;
        Storage* from = values(page.data);
        std::fill(from + first * stride(), from + keys_a_page * stride(), Storage(0));
    }

    /// Whether values are such that no sum of them, weighted, can overflow; whether they are
    /// finite: as they are stored.
    bool are_moderate(std::byte* page, index first, index count, arena& scratch) const {
        return judge(page, first, count, scratch, all_moderate<scalar>);
    }
    bool are_finite(std::byte* page, index first, index count, arena& scratch) const {
        return judge(page, first, count, scratch, all_finite<scalar>);
    }

  private:
    /// What the first `count` keys of a page say of the channels of those that come next.
    void find_factors(std::byte* page, index map, index count, float* to) const {
        find_channel_factors(
            keys(page, map), key_scales(page, map),
            [=, this](index key) { return key_factors(page, map, key); }, count, panel_dim_, to);
    }
    /// The factors of the stretch of a key are those of the stretches behind it, too.
    void repeat_factors(std::byte* page, index map, index key) const {
        const float* const from = key_factors(page, map, key);
        for (index s = stretch_of(key) + 1; s < stretches_a_page; ++s)
            std::copy_n(from, panel_dim_, key_factors(page, map, first_stretch << (s - 1)));
    }

    static scalar largest(const scalar* row, index count) {
        scalar most = 0;
        for (index c = 0; c < count; ++c) most = std::max(most, std::abs(row[c]));
        return most;
    }

    void widen_keys(std::byte* page, index map, index count, scalar* to) const {
        for (index first = 0; first < count; first += width, to += width * panel_dim_)
            widen_panel(page, map, first, to);
    }
    /// The stored part of a panel of keys, from its `first` key on.
    void widen_panel(std::byte* page, index map, index first, scalar* to) const {
        const Storage* from = keys(page, map) + first * panel_dim_;
        if constexpr (has_scales) {
            const float* scales = key_scales(page, map) + first;
            if (has_factors_)
                widen_scaled<tiles.score_vectors>(from, width * panel_dim_,
                                                  key_factors(page, map, first), scales, to);
            else
                widen_scaled<tiles.score_vectors>(from, width * panel_dim_, scales, to);
        } else if constexpr (is_read_in_place<Storage>)
            std::copy_n(from, width * panel_dim_, to);
        else
            widen(from, width * panel_dim_, to);
    }
    /// Panels of whole keys: of the values, which are ready, and of what is stored beside them.
    void join_keys(head_block<scalar>& to) const {
        scalar* panels = to.key_panels[0];
        for (index first = 0; first < to.keys; first += width, panels += width * dim_) {
            pack_transposed<width>(to.values + first * stride(), stride(), width, shared_, panels);
            widen_panel(to.page, 0, first, panels + width * shared_);
        }
    }
    /// What keys have beside their values, in place or, widened, where key panels would be.
    void find_other_keys(head_block<scalar>& to) const {
        if constexpr (is_read_in_place<Storage>) {
            to.other_keys = keys(to.page, 0);
        } else {
            widen_keys(to.page, 0, round_up(to.keys, width), to.key_panels[0]);
            to.other_keys = to.key_panels[0];
        }
    }
    /// The same where numbers are multiplied by pairs.
    void join_numbers(std::byte* next, head_block<scalar>& to) const {
        const Storage* rows = values(to.page);
        const index all = round_up(to.keys, width);
        to.key_rows = reinterpret_cast<const scalar*>(rows);
        to.next_rows = next == nullptr ? nullptr : reinterpret_cast<const scalar*>(values(next));
        to.other_keys = to.key_panels[0];
        if (to.key_panels[0] != nullptr)
            join_panels(keys(to.page, 0), panel_dim_, all,
                        reinterpret_cast<double*>(to.key_panels[0]));
        if (to.values != nullptr) join_value_rows(rows, stride(), to.keys, all, to.values);
        to.is_ready = true;
    }
    void widen_values(std::byte* page, index first, index count, scalar* to) const {
        const Storage* from = values(page) + first * stride();
        if constexpr (has_scales) {
            for (index r = 0; r < count; ++r)
                widen_scaled(from + r * stride(), stride(), value_scales(page)[first + r],
                             to + r * stride());
        } else {
            widen(from, count * stride(), to);
        }
    }

    template <class Test>
    bool judge(std::byte* page, index first, index count, arena& scratch, Test&& test) const {
        if constexpr (is_read_in_place<Storage>) {
            return test({values(page) + first * stride(), stride()}, count, value_dim_);
        } else {
            const arena::scope mark(scratch);
            scalar* rows = scratch.take<scalar>(count * stride());
            widen_values(page, first, count, rows);
            return test({rows, stride()}, count, value_dim_);
        }
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
