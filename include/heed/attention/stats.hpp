#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/core/architecture.hpp>

/// \file
/// What backward needs of each row of an attention.

namespace heed::inline HEED_ARCHITECTURE {

/// What attention_forward keeps of each row for attention_backward: for softmax the largest score
/// and the sum of the weights. O(batch·heads·queries) numbers; nothing is allocated when an object
/// is used again for the same shape.
template <class Scalar, class Normaliser>
class stats {
  public:
    using stream_type =
        decltype(std::declval<const Normaliser&>().template streaming<Scalar>(index(0)));
    using row_statistics = typename stream_type::statistics;

    /// [batch, heads, queries]; a missing axis is 1.
    const std::array<index, 3>& extents() const { return extents_; }

    const row_statistics& row(index batch, index head, index query) const {
        return rows_[static_cast<std::size_t>((batch * extents_[1] + head) * extents_[2] + query)];
    }

    /// τ·log Σ_j e^{s_ij/τ} of each row, [batch, heads, queries], the sink's weight included; −∞
    /// for a row that sees nothing.
    Eigen::Tensor<Scalar, 3, Eigen::RowMajor> log_sum_exp() const {
        Eigen::Tensor<Scalar, 3, Eigen::RowMajor> result(extents_[0], extents_[1], extents_[2]);
        for (index batch = 0; batch < extents_[0]; ++batch) {
            for (index head = 0; head < extents_[1]; ++head) {
                for (index query = 0; query < extents_[2]; ++query)
                    result(batch, head, query) =
                        static_cast<Scalar>(log_sum_exp(batch, head, query));
            }
        }
        return result;
    }
    /// The same of one row, in double.
    double log_sum_exp(index batch, index head, index query) const {
        constexpr bool has_one = requires(const stream_type& stream, const row_statistics& row) {
            stream.log_sum_exp(row);
        };
        static_assert(has_one, "heed: this normaliser has no log-sum-exp");
        if constexpr (has_one)
            return normaliser_->template streaming<Scalar>(head).log_sum_exp(
                row(batch, head, query));
        else
            return 0;
    }

    /// For the kernels: room for the rows of a call.
    row_statistics* reset(const std::array<index, 3>& extents, const Normaliser& normaliser) {
        extents_ = extents;
        normaliser_.emplace(normaliser);
        rows_.resize(static_cast<std::size_t>(extents[0] * extents[1] * extents[2]));
        return rows_.data();
    }
    const row_statistics* data() const { return rows_.data(); }

  private:
    std::array<index, 3> extents_{};
    std::optional<Normaliser> normaliser_;  // an optional, since a part may refuse assignment
    std::vector<row_statistics> rows_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
