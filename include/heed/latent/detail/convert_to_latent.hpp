#pragma once

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/latent/converted_latent.hpp>
#include <heed/latent/detail/grouped_layer.hpp>
#include <heed/latent/detail/low_rank.hpp>
#include <heed/latent/latent_weights.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Weights of grouped heads in the places of a latent attention's.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Where the rotated dimensions of a head stand among those of all groups: pairs of one group side
/// by side, in either layout.
struct rotated_places {
    index groups, rotated;
    bool is_interleaved;

    index of(index group, index dimension) const {
        if (is_interleaved) return group * rotated + dimension;
        const index pairs = rotated / 2;
        return (dimension / pairs * groups + group) * pairs + dimension % pairs;
    }
};

/// The frequencies of all groups: each turns as the heads did.
inline rope::frequencies repeat_frequencies(const rope::frequencies& of_head, index groups) {
    std::vector<double> angular;
    for (index g = 0; g < groups; ++g)
        angular.insert(angular.end(), of_head.angular().begin(), of_head.angular().end());
    return rope::frequencies(std::move(angular), of_head.layout(), of_head.attention_factor());
}

template <class T, int Rank, class To>
void copy_weight(const weight_view<T, Rank>& weight, To& to) {
    if (!weight.is_given()) return;
    const auto from = weight.view();
    if constexpr (Rank == 1) {
        to.resize(from.extents[0]);
        for (index r = 0; r < from.extents[0]; ++r) to(r) = from(r);
    } else {
        to.resize(from.extents[0], from.extents[1]);
        for (index r = 0; r < from.extents[0]; ++r)
            for (index c = 0; c < from.extents[1]; ++c) to(r, c) = from(r, c);
    }
}

/// The latent attention of c = right·x, of which left makes k_c and v of each group, and of k_r,
/// the rotated keys of all groups.
template <class T, class Matrix>
class conversion {
  public:
    conversion(const grouped_layer<T>& layer, const low_rank_factors<Matrix>& factors)
        : layer_(layer), factors_(factors) {}

    converted_latent<T> result() const {
        converted_latent<T> latent{.options = {.heads = heads_,
                                               .content = content_,
                                               .rotated = groups_ * rotated_,
                                               .value = value_,
                                               .rank = rank_,
                                               .normed = false},
                                   .error = factors_.error};
        if (layer_.rope) latent.rope = repeat_frequencies(*layer_.rope, groups_);
        place_queries(latent);
        place_cached(latent);
        place_expanded(latent);
        copy_weight(layer_.weights.o_proj, latent.o_proj);
        copy_weight(layer_.weights.o_proj_bias, latent.o_proj_bias);
        return latent;
    }

  private:
    index group_of(index head) const { return head / (heads_ / groups_); }

    /// A head's [content, rotated], 0 where rotated keys of other groups stand. Latent attention
    /// scales by 1/√(content + rotated), of all groups.
    void place_queries(converted_latent<T>& to) const {
        const auto q = layer_.weights.q_proj.view();
        const index wide = content_ + groups_ * rotated_;
        const double factor = std::sqrt(static_cast<double>(wide) / static_cast<double>(dim_));
        to.q_proj.setZero(heads_ * wide, width_);
        for (index h = 0; h < heads_; ++h)
            for (index i = 0; i < dim_; ++i) {
                const index place =
                    i < rotated_ ? content_ + places_.of(group_of(h), i) : i - rotated_;
                for (index c = 0; c < width_; ++c)
                    to.q_proj(h * wide + place, c) =
                        static_cast<T>(factor * static_cast<double>(q(h * dim_ + i, c)));
            }
    }

    /// [W_c; W_kr], and their biases.
    void place_cached(converted_latent<T>& to) const {
        auto& weight = to.kv_a_proj_with_mqa;
        auto& bias = to.kv_a_proj_with_mqa_bias;
        weight.resize(rank_ + groups_ * rotated_, width_);
        weight.topRows(rank_) = factors_.right.leftCols(width_).template cast<T>();
        if (layer_.has_bias()) {
            bias.setZero(weight.rows());
            bias.head(rank_) = factors_.right.col(width_).template cast<T>();
        }
        const auto k = layer_.weights.k_proj.view();
        const auto k_bias = layer_.weights.k_proj_bias;
        for (index g = 0; g < groups_; ++g)
            for (index i = 0; i < rotated_; ++i) {
                const index place = rank_ + places_.of(g, i), from = g * dim_ + i;
                for (index c = 0; c < width_; ++c) weight(place, c) = k(from, c);
                if (k_bias.is_given()) bias(place) = k_bias.view()(from);
            }
    }

    /// A head's [W_kc; W_v], its group's.
    void place_expanded(converted_latent<T>& to) const {
        const index rows = content_ + value_;
        to.kv_b_proj.resize(heads_ * rows, rank_);
        for (index h = 0; h < heads_; ++h) {
            const index g = group_of(h);
            expand_rows(to.kv_b_proj.middleRows(h * rows, content_), g * content_);
            expand_rows(to.kv_b_proj.middleRows(h * rows + content_, value_),
                        groups_ * content_ + g * value_);
        }
    }
    /// Rows `first` … of the left factor.
    template <class Rows>
    void expand_rows(Rows to, index first) const {
        if (factors_.left.size() == 0) {  // the identity, too large to be written down
            to.setZero();
            for (index r = 0; r < to.rows(); ++r) to(r, first + r) = T(1);
        } else {
            to = factors_.left.middleRows(first, to.rows()).template cast<T>();
        }
    }

    const grouped_layer<T>& layer_;
    const low_rank_factors<Matrix>& factors_;
    const index heads_ = layer_.options.heads.value, groups_ = layer_.options.kv_heads.value;
    const index dim_ = layer_.options.dim.value, value_ = layer_.options.value.value;
    const index content_ = layer_.content(), rotated_ = layer_.rotated();
    const index width_ = layer_.width(), rank_ = factors_.right.rows();
    const rotated_places places_{groups_, rotated_,
                                 layer_.rope&& layer_.rope->layout() == rope::interleaved};
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
