#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <vector>

#include <Eigen/Core>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// A mask over the keys of each sequence: padding, wherever it lies.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::key_mask(seen). It reads the booleans when it is made.
class key_mask_part : public mask_base {
  public:
    static constexpr std::string_view name = "heed::key_mask";

    explicit key_mask_part(const tensor_view<const bool, 2>& seen)
        : sequences_(seen.extents[0]), keys_(seen.extents[1]) {
        detail::check_view(name, seen);
        seen_.resize(sequences_ * keys_);
        for (index batch = 0; batch < sequences_; ++batch) {
            index count = 0;
            key_interval range{0, 0};
            for (index j = 0; j < keys_; ++j) {
                seen_before_.push_back(count);
                seen_(batch * keys_ + j) = seen(batch, j);
                if (!seen(batch, j)) continue;
                if (count++ == 0) range.first = j;
                range.last = j + 1;
            }
            seen_before_.push_back(count);
            ranges_.push_back(range);
        }
    }

    void check(const attention_shape& shape) const {
        detail::require_shape((sequences_ == shape.batch || sequences_ == 1) && keys_ == shape.keys,
                              name, " has shape [", sequences_, ", ", keys_,
                              "], but must have [batch, keys] = [", shape.batch, ", ", shape.keys,
                              "], or [1, keys]");
    }

    /// From the first to the last key that is seen.
    key_interval interval(const query_row& i, const attention_shape&) const {
        return ranges_[static_cast<std::size_t>(row(i.batch))];
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [seen = seen_.data() + row(i.batch) * keys_](const key_lanes<T>& j) {
            return vec_mask<T>::load(seen + j.first, j.count);
        };
    }

    visibility tile(const query_row& first, const query_row&, key_interval keys) const {
        const index* before = seen_before_.data() + row(first.batch) * (keys_ + 1);
        const index count = before[keys.last] - before[keys.first];
        return count == 0                        ? visibility::none
               : count == keys.last - keys.first ? visibility::all
                                                 : visibility::mixed;
    }

    index padded_from(index batch) const {
        return ranges_[static_cast<std::size_t>(row(batch))].last;
    }

  private:
    index row(index batch) const { return sequences_ == 1 ? 0 : batch; }

    index sequences_, keys_;
    Eigen::Array<bool, Eigen::Dynamic, 1> seen_;  ///< [batch, keys]
    std::vector<index> seen_before_;              ///< [batch, keys + 1]: how many before this one
    std::vector<key_interval> ranges_;
};

/// Every query of sequence b sees key j if seen(b, j): a padding mask, [batch, keys], a matrix or a
/// tensor of bool of two axes; one row serves all sequences. Padding may lie before, behind and
/// between the keys, and is never read; tiles of it are not computed.
///
///     auto o = heed::attention(q, k, v, heed::key_mask(seen));
///
/// Positions count padding, too. It is read when the part is made, in O(batch·keys). The call
/// throws shape_error if there is not one row a sequence and one boolean a key; argument_error
/// where queries that are not as many as keys would stand at the end of padding, as
/// heed::key_lengths does.
template <tensor_like Seen>
[[nodiscard]] key_mask_part key_mask(const Seen& seen) {
    constexpr bool is_mask = std::is_same_v<scalar_of<Seen>, bool> && rank_of<Seen> == 2;
    static_assert(is_mask, "heed: a key mask is a tensor of bool, [batch, keys]");
    if constexpr (is_mask)
        return key_mask_part(detail::evaluate(seen).view());
    else
        return key_mask_part({});
}

}  // namespace heed::inline HEED_ARCHITECTURE
