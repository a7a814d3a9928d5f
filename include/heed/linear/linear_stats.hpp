#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/linear/part.hpp>

/// \file
/// What backward of linear attention needs of each row.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {
template <class Scalar>
struct linear_stats_access;
}

/// What linear_attention_forward keeps for linear_attention_backward: the denominator of each row,
/// and behind how many tokens of a carried state each sequence began.
/// They are those of one call that has ended; before it, after it has thrown, and once they have
/// been moved from, they are those of none, and backward refuses them.
template <class Scalar>
class linear_stats {
  public:
    linear_stats() = default;
    linear_stats(const linear_stats&) = default;
    linear_stats(linear_stats&& other) noexcept
        : rows_(std::move(other.rows_)),
          seen_(std::move(other.seen_)),
          shape_(std::exchange(other.shape_, std::nullopt)) {}
    linear_stats& operator=(const linear_stats&) = default;
    linear_stats& operator=(linear_stats&& other) noexcept {
        if (this == &other) return *this;
        rows_ = std::move(other.rows_);
        seen_ = std::move(other.seen_);
        shape_ = std::exchange(other.shape_, std::nullopt);
        return *this;
    }
    ~linear_stats() = default;

    /// [batch, heads, queries] of o; [0, 0, 0] for the stats of no call.
    std::array<index, 3> extents() const {
        if (!shape_) return {};
        return {shape_->batch, shape_->heads, shape_->queries};
    }

  private:
    friend struct detail::linear_stats_access<Scalar>;

    std::vector<Scalar> rows_;
    std::vector<index> seen_;
    std::optional<linear_shape> shape_;
};

namespace detail {

/// The way of a call into stats.
template <class Scalar>
struct linear_stats_access {
    /// Memory for the denominators of a call's rows.
    template <class Call>
    static Scalar* begin(linear_stats<Scalar>& of, const Call& call) {
        const linear_shape& shape = call.shape;
        of.shape_.reset();
        of.seen_.resize(static_cast<std::size_t>(shape.batch));
        for (index b = 0; b < shape.batch; ++b)
            of.seen_[static_cast<std::size_t>(b)] = call.seen(b);
        of.rows_.resize(static_cast<std::size_t>(shape.batch * shape.heads * shape.queries));
        return of.rows_.data();
    }
    static void end(linear_stats<Scalar>& of, const linear_shape& shape) { of.shape_ = shape; }

    template <class Call>
    static const Scalar* rows(const linear_stats<Scalar>& of, const Call& call) {
        const linear_shape& shape = call.shape;
        require_argument(of.shape_.has_value(),
                         "the stats are those of no call: linear_attention_forward makes them");
        const std::array<index, 3> needed{shape.batch, shape.heads, shape.queries};
        require_shape(of.extents() == needed, "the stats are of rows ", of.extents(),
                      ", but this call's are ", needed);
        require_shape(*of.shape_ == shape,
                      "the stats are of a call with other shapes of q, k or v");
        for (index b = 0; b < shape.batch; ++b) {
            const index seen = of.seen_[static_cast<std::size_t>(b)];
            require_argument(seen == call.seen(b), "the stats are of a call that began behind ",
                             seen, " tokens of sequence ", b, ", but this one begins behind ",
                             call.seen(b), ": backward takes the state that forward went on from");
        }
        return of.rows_.data();
    }
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
