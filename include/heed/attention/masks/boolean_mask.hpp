#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/score_tensor.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// A mask from memory: a boolean for each score.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::boolean_mask(tensor).
template <class Kept>
class boolean_mask_part : public mask_base {
  public:
    explicit boolean_mask_part(Kept seen) : seen_(std::move(seen)) {}

    void check(const attention_shape& shape) const {
        const auto seen = seen_.view();
        const auto& extents = seen.extents;
        if constexpr (std::tuple_size_v<std::remove_cvref_t<decltype(extents)>> == 2) {
            const bool is_of_keys = extents[0] == shape.batch && extents[1] == shape.keys;
            detail::require_shape(
                !is_of_keys || extents[0] == shape.queries || extents[0] == 1,
                "heed::boolean_mask has shape ", extents, ", but must be [queries, keys] = [",
                shape.queries, ", ", shape.keys,
                "] or have extents of 1; a mask of [batch, keys] is heed::key_mask");
        }
        detail::check_broadcast("heed::boolean_mask", seen, shape);
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::boolean_mask", seen_.view());
    }

    template <class T>
    auto on_row(const query_row& i) const {
        const keys_of_row keys = row(i.batch, i.head, i.query);
        return [keys](const key_lanes<T>& j) {
            const bool* from = keys.seen + j.first * keys.stride;
            if (keys.stride == 1) {
                prefetch(from + detail::rows_fetched_ahead * keys.to_next_query);
                return vec_mask<T>::load(from, j.count);
            }
            std::uint64_t bits = 0;
            for (index l = 0; l < j.count && l < vec<T>::size; ++l)
                bits |= static_cast<std::uint64_t>(from[l * keys.stride]) << l;
            return vec_mask<T>::from_bits(bits);
        };
    }

    /// Reads the tile's booleans until it has met both kinds: a small part of what a tile costs.
    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        found met;
        const index queries = last.query - first.query + 1;
        const keys_of_row first_row = row(first.batch, first.head, first.query);
        for (index r = 0; r < queries; ++r) {
            const bool* from = first_row.seen + r * first_row.to_next_query;
            prefetch(from + keys.first * first_row.stride + queries * first_row.to_next_query);
            keys_of_row{from, first_row.stride, 0}.look(keys, met);
            if (met.seen && met.hidden) return visibility::mixed;
        }
        return met.seen ? visibility::all : visibility::none;
    }

  private:
    struct found {
        bool seen = false;
        bool hidden = false;
    };

    struct keys_of_row {
        const bool* seen;
        index stride;
        index to_next_query;

        /// Which kinds of booleans these keys have; eight at a time where they lie side by side.
        void look(key_interval keys, found& met) const {
            constexpr std::uint64_t all_true = 0x0101010101010101;
            std::uint64_t any = 0;
            std::uint64_t all = all_true;
            const bool* from = seen + keys.first * stride;
            index left = keys.last - keys.first;
            if (stride == 1) {
                for (; left >= 8; left -= 8, from += 8) {
                    std::uint64_t eight;
                    std::memcpy(&eight, from, 8);
                    any |= eight;
                    all &= eight;
                }
            }
            met.seen = met.seen || any != 0;
            met.hidden = met.hidden || all != all_true;
            for (; left > 0; --left, from += stride) {
                met.seen = met.seen || *from;
                met.hidden = met.hidden || !*from;
            }
        }
    };

    keys_of_row row(index batch, index head, index query) const {
        const auto all = detail::broadcast_over_scores(seen_.view());
        return {&all(batch, head, query, 0), all.strides[3], all.strides[2]};
    }

    Kept seen_;
};

/// Query i sees key j if the tensor is true at [batch, head, i, j]. It is a tensor of bool over
/// the scores, [queries, keys], [heads, queries, keys] or [batch, heads, queries, keys], in which
/// an extent of 1 serves all. Tiles that are all false are not computed. A mask over the keys of
/// each sequence, [batch, keys], is heed::key_mask: where batch = queries it would be taken for
/// [queries, keys] here.
///
///     auto o = heed::attention(q, k, v, heed::boolean_mask(seen));
///
/// The call throws shape_error if the mask does not broadcast over the scores.
template <tensor_like Tensor>
[[nodiscard]] auto boolean_mask(Tensor&& seen) {
    static_assert(std::is_same_v<scalar_of<Tensor>, bool>,
                  "heed: a boolean mask is a tensor of bool");
    auto kept = detail::keep(std::forward<Tensor>(seen));
    return boolean_mask_part<decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
