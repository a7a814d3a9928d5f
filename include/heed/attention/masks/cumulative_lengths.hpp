#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Cumulative lengths: several documents one after the other, each of which sees only itself.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Where documents begin: 0 = offsets[0] ≤ offsets[1] ≤ … ≤ the end of the last.
class document_offsets {
  public:
    template <vector_like Offsets>
    document_offsets(std::string_view part, const Offsets& offsets) {
        const auto given = checked_vector(part, offsets);
        static_assert(std::integral<std::remove_cvref_t<decltype(given(0))>>,
                      "heed: cumulative lengths are integers");
        const index count = given.extents[0];
        require_shape(count >= 1, part, " has shape [0], but must begin with a 0");
        require_argument(given(0) == 0, part, ": the first offset is ", given(0),
                         ", but must be 0");
        for (index d = 0; d < count; ++d) {
            require_argument(d == 0 || given(d - 1) <= given(d), part, ": offset ", d, " is ",
                             given(d), ", but must be at least the one before, ",
                             given(std::max<index>(d - 1, 0)));
            offsets_.push_back(to_index(given(d)));
        }
    }

    index documents() const { return static_cast<index>(offsets_.size()) - 1; }
    index end() const { return offsets_.back(); }
    key_interval document(index d) const {
        return {offsets_[static_cast<std::size_t>(d)], offsets_[static_cast<std::size_t>(d) + 1]};
    }
    /// The document that holds token i, 0 ≤ i < end().
    index document_of(index i) const {
        return std::upper_bound(offsets_.begin(), offsets_.end(), i) - offsets_.begin() - 1;
    }

  private:
    std::vector<index> offsets_;
};

}  // namespace detail

/// The type of heed::cumulative_lengths. It reads the offsets when it is made.
class cumulative_lengths_mask : public mask_base {
  public:
    static constexpr bool is_interval = true;

    cumulative_lengths_mask(detail::document_offsets queries, detail::document_offsets keys)
        : queries_(std::move(queries)), keys_(std::move(keys)) {
        detail::require_shape(queries_.documents() == keys_.documents(),
                              "heed::cumulative_lengths has ", queries_.documents(),
                              " documents of queries, but ", keys_.documents(), " of keys");
    }

    void check(const attention_shape& shape) const {
        check_end("queries", queries_.end(), shape.queries);
        check_end("keys", keys_.end(), shape.keys);
    }

    key_interval interval(const query_row& i, const attention_shape&) const { return seen(i); }

    template <class T>
    auto on_row(const query_row& i) const {
        return [keys = seen(i)](const key_lanes<T>& j) {
            return vec_mask<T>::first(keys.last - j.first) &
                   !vec_mask<T>::first(keys.first - j.first);
        };
    }

  private:
    static void check_end(std::string_view what, index end, index count) {
        detail::require_shape(end == count, "heed::cumulative_lengths: the documents of ", what,
                              " end at ", end, ", but there are ", count, " ", what);
    }
    key_interval seen(const query_row& i) const {
        return keys_.document(queries_.document_of(i.query));
    }

    detail::document_offsets queries_, keys_;
};

/// Packed documents by their cumulative lengths: document d is tokens offsets[d] … offsets[d + 1] −
/// 1, and query i sees key j if both are of the same document. Every sequence of the batch is
/// packed alike. Any vector of integers, the first 0, the last the number of tokens; a document may
/// be empty. Nothing outside is computed.
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::cumulative_lengths(offsets));
///
/// argument_error if the offsets do not begin with 0 or descend; the call throws shape_error if
/// they do not end with the number of tokens.
template <detail::vector_like Offsets>
[[nodiscard]] cumulative_lengths_mask cumulative_lengths(const Offsets& offsets) {
    const detail::document_offsets both("heed::cumulative_lengths", offsets);
    return {both, both};
}

/// The same with lengths of their own for queries and keys.
///
/// shape_error if the two have not as many documents.
template <detail::vector_like Queries, detail::vector_like Keys>
[[nodiscard]] cumulative_lengths_mask cumulative_lengths(const Queries& of_queries,
                                                         const Keys& of_keys) {
    return {detail::document_offsets("heed::cumulative_lengths of queries", of_queries),
            detail::document_offsets("heed::cumulative_lengths of keys", of_keys)};
}

}  // namespace heed::inline HEED_ARCHITECTURE
