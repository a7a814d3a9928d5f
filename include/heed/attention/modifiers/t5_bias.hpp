#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <heed/attention/detail/distance_bias.hpp>
#include <heed/attention/detail/distance_table.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>

/// \file
/// T5's relative positions: a learned number for each head and bucket of distances.

namespace heed::inline HEED_ARCHITECTURE {

/// What heed::t5_bias takes beside the table.
struct t5_bias_options {
    bool bidirectional = true;                ///< half of the buckets for keys behind the query
    detail::any_integral max_distance = 128;  ///< from here on there is one bucket
};

namespace detail {

/// Which bucket a distance falls into, of T5 (arXiv 1910.10683).
class t5_buckets {
  public:
    static constexpr std::string_view part = "heed::t5_bias";
    static constexpr bool one_column_serves_all = false;

    t5_buckets(index buckets, const t5_bias_options& options)
        : bidirectional_(options.bidirectional),
          of_side_(options.bidirectional ? buckets / 2 : buckets),
          exact_(of_side_ / 2) {
        const index furthest = options.max_distance.value;
        const index least = bidirectional_ ? 4 : 2;
        require_shape(buckets >= least && (!bidirectional_ || buckets % 2 == 0), part,
                      ": the table has ", buckets, " buckets, but must have ",
                      bidirectional_ ? "an even number, 4 or more" : "2 or more");
        require_argument(furthest > exact_ && furthest <= (1 << 24), part, ": max_distance is ",
                         furthest, ", but must be above ", exact_,
                         ", the number of exact distances, and at "
                         "most 2^24");
        // Bucket exact + k begins at exact·(max/exact)^(k/(buckets − exact)): whole distances are
        // told apart once and for all, with room for the rounding of the power.
        const double ratio = static_cast<double>(furthest) / static_cast<double>(exact_);
        const auto steps = static_cast<double>(of_side_ - exact_);
        for (index k = 1; k < of_side_ - exact_; ++k) {
            const double begin =
                static_cast<double>(exact_) * std::pow(ratio, static_cast<double>(k) / steps);
            begins_.push_back(std::ceil(begin * (1 - 1e-12)));
        }
    }

    index of(double distance) const {
        const bool behind = bidirectional_ && distance > 0;
        const double apart =
            std::floor(bidirectional_ ? std::abs(distance) : std::max(-distance, 0.0));
        index bucket = behind ? of_side_ : 0;
        if (apart < static_cast<double>(exact_)) return bucket + static_cast<index>(apart);
        bucket += exact_;
        return bucket + (std::upper_bound(begins_.begin(), begins_.end(), apart) - begins_.begin());
    }

  private:
    bool bidirectional_;
    index of_side_;               ///< buckets for one side
    index exact_;                 ///< of which as many hold one distance each
    std::vector<double> begins_;  ///< the first distances of the others, but for the first of them
};

}  // namespace detail

/// s + table[bucket(j − i), head], T5's relative positions (arXiv 1910.10683): of the
/// buckets of a side half hold one distance each, 0, 1, 2, …, the others ranges that grow
/// geometrically up to max_distance; beyond it all is one bucket. Bidirectional, the first half of
/// the table is for keys up to the query, the second for those behind it; otherwise keys behind the
/// query count as distance 0. Fractional distances are rounded down.
///
///     auto o = heed::attention(q, k, v, heed::scale(1), heed::t5_bias(table));
///     auto o = heed::attention(q, k, v, heed::causal, heed::t5_bias(table, {.bidirectional =
///     false}));
///
/// The table is [buckets, heads], as checkpoints have it; it is read when the part is made. It can
/// be learned: the gradient has its shape and kind.
///
/// shape_error if the buckets are fewer than 2 or, bidirectional, not even and 4 or more;
/// argument_error if max_distance is not beyond the exact distances. The call throws shape_error if
/// there is not one column a head.
template <tensor_like Tensor>
requires(rank_of<Tensor> == 2) auto t5_bias(const Tensor& table, const t5_bias_options& options) {
    const auto held = detail::evaluate(table);
    const auto view = held.view();
    return detail::distance_bias(
        detail::distance_table<Tensor, detail::t5_buckets>(view, {view.extents[0], options}),
        options.max_distance.value);
}
template <tensor_like Tensor>
requires(rank_of<Tensor> == 2) auto t5_bias(const Tensor& table) {
    return t5_bias(table, t5_bias_options{});
}

}  // namespace heed::inline HEED_ARCHITECTURE
