#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/part.hpp>
#include <heed/attention/support.hpp>
#include <heed/core/architecture.hpp>

/// \file
/// What backward needs of each row of an attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// The object in which a normaliser's rows are computed.
template <class T, class Normaliser>
auto make_kernel(const Normaliser& normaliser, index head) {
    if constexpr (row_normaliser<Normaliser>)
        return normaliser.template whole_row<T>(head);
    else
        return normaliser.template streaming<T>(head);
}
template <class T, class Normaliser>
using kernel_of = decltype(make_kernel<T>(std::declval<const Normaliser&>(), index(0)));

template <class Kernel>
constexpr bool is_sparse = [] {
    if constexpr (requires { Kernel::is_sparse; }) {
        return Kernel::is_sparse;
    } else {
        return false;
    }
}();

}  // namespace detail

/// What attention_forward keeps of each row for attention_backward: for softmax the largest score
/// and the sum of the weights; for entmax the threshold and, unless it is large, the support.
/// O(batch·heads·queries) numbers; nothing is allocated when an object is used again for the same
/// shape and supports no larger.
template <class Scalar, class Normaliser>
class stats {
  public:
    using stream_type = detail::kernel_of<Scalar, Normaliser>;
    using row_statistics = typename stream_type::statistics;

    /// [batch, heads, queries]; a missing axis is 1.
    const std::array<index, 3>& extents() const { return extents_; }

    const row_statistics& row(index batch, index head, index query) const {
        return rows_[number(batch, head, query)];
    }
    row_statistics& row(index batch, index head, index query) {
        return rows_[number(batch, head, query)];
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

    /// How many probabilities of a row are not zero, for a sparse normaliser.
    index support_size(index batch, index head, index query) const {
        static_assert(detail::is_sparse<stream_type>,
                      "heed: only the stats of a sparse normaliser know how many keys a row chose");
        return supports_.size(batch, head, query);
    }

    /// For the kernels: room for the rows of a call.
    row_statistics* reset(const std::array<index, 3>& extents, const Normaliser& normaliser) {
        extents_ = extents;
        normaliser_.emplace(normaliser);
        rows_.resize(static_cast<std::size_t>(extents[0] * extents[1] * extents[2]));
        return rows_.data();
    }
    const row_statistics* data() const { return rows_.data(); }
    detail::support_store<Scalar>& supports() { return supports_; }
    const detail::support_store<Scalar>& supports() const { return supports_; }

  private:
    std::size_t number(index batch, index head, index query) const {
        return static_cast<std::size_t>((batch * extents_[1] + head) * extents_[2] + query);
    }

    std::array<index, 3> extents_{};
    std::optional<Normaliser> normaliser_;  // an optional, since a part may refuse assignment
    std::vector<row_statistics> rows_;
    detail::support_store<Scalar> supports_;  // empty unless the normaliser is sparse
};

}  // namespace heed::inline HEED_ARCHITECTURE
