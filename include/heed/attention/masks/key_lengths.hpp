#pragma once

#include <concepts>
#include <initializer_list>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Key lengths: how many of a sequence's keys are keys, and not padding.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// How many keys each sequence of a batch has, as the caller gave it.
template <class Kept>
struct lengths_of_sequences {
    Kept kept;

    static_assert(std::integral<std::remove_cvref_t<decltype(kept.view()(0))>>,
                  "heed: key lengths are integers");

    index of(index batch) const { return static_cast<index>(kept.view()(batch)); }

    void check(std::string_view part, const attention_shape& shape) const {
        const auto lengths = kept.view();
        require_shape(lengths.extents[0] == shape.batch, part, " has ", lengths.extents[0],
                      " lengths, but the batch has ", shape.batch, " sequences");
        for (index batch = 0; batch < shape.batch; ++batch) {
            const auto length = lengths(batch);
            require_argument(
                std::cmp_greater_equal(length, 0) && std::cmp_less_equal(length, shape.keys), part,
                ": the length of sequence ", batch, " is ", length,
                ", but must lie between 0 and the number of keys, ", shape.keys);
        }
    }
};

}  // namespace detail

/// The type of heed::key_lengths(lengths).
template <class Kept>
class key_lengths_mask : public mask_base {
  public:
    static constexpr bool is_interval = true;
    static constexpr std::string_view name = "heed::key_lengths";

    explicit key_lengths_mask(Kept lengths) : lengths_{std::move(lengths)} {}

    void check(const attention_shape& shape) const { lengths_.check(name, shape); }
    template <class See>
    void inputs(See&& see) const {
        see(name, lengths_.kept.view());
    }

    key_interval interval(const query_row& i, const attention_shape&) const {
        return {0, lengths_.of(i.batch)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [length = lengths_.of(i.batch)](const key_lanes<T>& j) {
            return vec_mask<T>::first(length - j.first);
        };
    }

    index padded_from(index batch) const { return lengths_.of(batch); }

  private:
    detail::lengths_of_sequences<Kept> lengths_;
};

namespace detail {

template <class P>
inline constexpr bool is_key_lengths = false;
template <class Kept>
inline constexpr bool is_key_lengths<key_lengths_mask<Kept>> = true;

}  // namespace detail

/// Sequence b of the batch has lengths[b] keys, the first ones in memory; the rest is padding,
/// which is never read. One length for each sequence, any vector of integers; the rows of a
/// sequence of length 0 are zeros.
///
///     auto o = heed::attention(q, k, v, heed::key_lengths(lengths));
///
/// Fewer queries than keys stand at the end of all keys, the padding included. What goes by
/// position (heed::causal, windows, distances, rotary encodings) mostly means the end of each
/// sequence's own keys: that is heed::cache_lengths.
///
/// The call throws shape_error if there is not one length a sequence; argument_error if one is
/// negative or more than the number of keys, and where queries and keys are not equally many, no
/// heed::positions says where they stand, and a part by position would take them differently at
/// the two ends.
template <detail::vector_like Lengths>
[[nodiscard]] auto key_lengths(Lengths&& lengths) {
    auto kept = detail::keep_vector("heed::key_lengths", std::forward<Lengths>(lengths));
    return key_lengths_mask<decltype(kept)>(std::move(kept));
}

/// heed::key_lengths({70, 64, 3})
inline auto key_lengths(std::initializer_list<index> lengths) {
    return key_lengths(std::vector<index>(lengths));
}

}  // namespace heed::inline HEED_ARCHITECTURE
