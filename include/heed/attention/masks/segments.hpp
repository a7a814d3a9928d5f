#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/simd.hpp>

/// \file
/// Segments: several documents in one sequence, each of which sees only itself.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::segments. It numbers the ids when it is made, and keeps no reference to them.
class segments_mask : public mask_base {
  public:
    /// Ids as [batch, sequence]; a batch of 1 serves all.
    template <class Query, class Key>
    segments_mask(const tensor_view<const Query, 2>& query_ids,
                  const tensor_view<const Key, 2>& key_ids)
        : query_extents_(query_ids.extents), key_extents_(key_ids.extents) {
        detail::check_view("heed::segments: the ids of queries", query_ids);
        detail::check_view("heed::segments: the ids of keys", key_ids);
        const index batches = std::max(query_extents_[0], key_extents_[0]);
        require_batch("queries", query_extents_, batches);
        require_batch("keys", key_extents_, batches);

        key_segments_.reserve(static_cast<std::size_t>(key_ids.size()));
        queries_.reserve(static_cast<std::size_t>(batches * query_extents_[1]));
        segments_of_sequence<Key> segments;
        for (index batch = 0; batch < batches; ++batch) {
            if (batch < key_extents_[0]) {
                segments = {};
                for (index j = 0; j < key_extents_[1]; ++j)
                    key_segments_.push_back(segments.add_key(key_ids(batch, j), j));
            }
            for (index i = 0; i < query_extents_[1]; ++i)
                queries_.push_back(segments.find(query_ids(shared(query_extents_, batch), i)));
        }
        wide_key_segments_.assign(key_segments_.begin(), key_segments_.end());
    }

    void check(const attention_shape& shape) const {
        check_ids("queries", query_extents_, shape.batch, shape.queries);
        check_ids("keys", key_extents_, shape.batch, shape.keys);
    }

    /// From the first to the last key of the query's segment.
    key_interval interval(const query_row& i, const attention_shape&) const {
        const keys_of_segment& own = at(i.batch, i.query).keys;
        return {own.first, own.last};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const query& own = at(i.batch, i.query);
        return row<T>{own.keys, vec<T>(static_cast<T>(own.segment)), key_segments<T>(i.batch)};
    }

    visibility tile(const query_row& first, const query_row& last, key_interval tile_keys) const {
        bool none = true;
        bool all = true;
        float asked = -2;  // neighbours mostly have the same segment
        const query* queries = &at(first.batch, first.query);
        for (index r = 0; r <= last.query - first.query && (none || all); ++r) {
            const query& own = queries[r];
            if (own.segment == asked) continue;
            asked = own.segment;
            const index from = own.keys.first;
            const index to = own.keys.last;
            none = none && (to <= tile_keys.first || tile_keys.last <= from);
            all = all && own.keys.is_run() && from <= tile_keys.first && tile_keys.last <= to;
        }
        return none ? visibility::none : all ? visibility::all : visibility::mixed;
    }

  private:
    /// Where the keys of a segment lie: between first and last, and without a gap if they are a
    /// run.
    struct keys_of_segment {
        index first = 0;
        index last = 0;
        index count = 0;

        bool is_run() const { return last - first == count; }
    };

    /// The segments of a sequence are numbered 0, 1, … in the order of their first keys, so that a
    /// lane of either scalar holds the number exactly.
    struct query {
        float segment = -1;  ///< −1: no key has this id
        keys_of_segment keys;
    };

    /// Ids of either sign, 64 bits of them; of two types, that of keys can hold what it is asked
    /// for, or no key has it.
    template <std::integral Key>
    class segments_of_sequence {
      public:
        /// The number of the segment of key j.
        float add_key(Key id, index j) {
            const auto next = static_cast<float>(segments_.size());
            query& own =
                segments_.try_emplace(static_cast<std::int64_t>(id), query{next, {j, j, 0}})
                    .first->second;
            detail::require_argument(segments_.size() <= most, "heed::segments: key ", j,
                                     " begins one more than ", most,
                                     " segments in its sequence, but there may be no more");
            own.keys.last = j + 1;
            ++own.keys.count;
            return own.segment;
        }
        template <std::integral Id>
        query find(Id id) const {
            if (!std::in_range<decltype(+Key())>(+id)) return query{};  // + makes a char an int
            const auto found = segments_.find(static_cast<std::int64_t>(id));
            return found == segments_.end() ? query{} : found->second;
        }

      private:
        static constexpr std::size_t most = std::size_t(1) << 24;
        std::unordered_map<std::int64_t, query> segments_;
    };

    template <class T>
    struct row {
        keys_of_segment keys;
        vec<T> segment;
        const T* key_segments;

        vec_mask<T> operator()(const key_lanes<T>& j) const {
            if (keys.is_run())
                return vec_mask<T>::first(keys.last - j.first) &
                       !vec_mask<T>::first(keys.first - j.first);
            return vec<T>::load_partial(key_segments + j.first, j.count) == segment;
        }
    };

    /// The row of the ids that serves a sequence.
    static index shared(const std::array<index, 2>& extents, index batch) {
        return extents[0] == 1 ? 0 : batch;
    }

    static void require_batch(std::string_view what, const std::array<index, 2>& extents,
                              index batch) {
        detail::require_shape(extents[0] == batch || extents[0] == 1, "heed::segments: the ids of ",
                              what, " have shape ", extents, ", but must have 1 row or ", batch,
                              ", one for each sequence");
    }
    static void check_ids(std::string_view what, const std::array<index, 2>& extents, index batch,
                          index sequence) {
        require_batch(what, extents, batch);
        detail::require_shape(extents[1] == sequence, "heed::segments: the ids of ", what,
                              " have length ", extents[1], ", but must have ", sequence,
                              ", one for each of the ", what);
    }

    template <class T>
    const T* key_segments(index batch) const {
        const index first = shared(key_extents_, batch) * key_extents_[1];
        if constexpr (std::is_same_v<T, float>)
            return key_segments_.data() + first;
        else
            return wide_key_segments_.data() + first;
    }
    const query& at(index batch, index i) const {
        // As many rows as the larger batch of the two has.
        const index sequence = key_extents_[0] == 1 ? shared(query_extents_, batch) : batch;
        return queries_[static_cast<std::size_t>(sequence * query_extents_[1] + i)];
    }

    std::array<index, 2> query_extents_, key_extents_;
    std::vector<float> key_segments_;        ///< [key batch, key]
    std::vector<double> wide_key_segments_;  ///< the same for doubles
    std::vector<query> queries_;             ///< [the larger batch, query]
};

/// Query i sees key j if both have the same segment id: packed documents. Ids are integers, any
/// vector of them, or [batch, sequence] as a matrix or a tensor of two axes. Where a segment's keys
/// lie side by side, as documents do, nothing outside is computed; scattered segments work too.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::segments(ids, ids));
///
/// The ids are read when the part is made, in O(queries + keys). The call throws shape_error if
/// there is not one id for each query and each key.
template <detail::position_list Queries, detail::position_list Keys>
[[nodiscard]] segments_mask segments(Queries&& query_ids, Keys&& key_ids) {
    const detail::kept_positions<Queries> queries(std::forward<Queries>(query_ids));
    const detail::kept_positions<Keys> keys(std::forward<Keys>(key_ids));
    static_assert(std::integral<std::remove_cvref_t<decltype(queries.view()(0, 0))>> &&
                      std::integral<std::remove_cvref_t<decltype(keys.view()(0, 0))>>,
                  "heed: segment ids are integers");
    return segments_mask(queries.view(), keys.view());
}

}  // namespace heed::inline HEED_ARCHITECTURE
