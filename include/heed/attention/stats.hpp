#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>

/// \file
/// What backward needs of each row of an attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// The object in which a normaliser's rows are computed.
template <class T, class Normaliser>
auto make_kernel(const Normaliser& normaliser, index head) {
    if constexpr (row_normaliser<Normaliser, T>)
        return normaliser.template whole_row<T>(head);
    else
        return normaliser.template streaming<T>(head);
}
template <class T, class Normaliser>
using kernel_of = decltype(make_kernel<T>(std::declval<const Normaliser&>(), index(0)));

/// Leaves numbers as they are where std::vector would set them to zero: the kernels write all of
/// them, each thread those of its rows.
template <class T>
struct uninitialised_allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = uninitialised_allocator<U>;
    };
    template <class U>
    void construct(U* at) noexcept {
        ::new (static_cast<void*>(at)) U;
    }
    template <class U, class... Arguments>
    void construct(U* at, Arguments&&... arguments) {
        ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
    }
};

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
///
/// They are those of one call that has ended. Before it, after it has thrown, and once they have
/// been moved from, they are those of none: their extents are 0, and backward refuses them.
template <class Scalar, class Normaliser>
class stats {
    static constexpr bool moves_silently = std::is_nothrow_move_constructible_v<Normaliser>;

  public:
    using stream_type = detail::kernel_of<Scalar, Normaliser>;
    using row_statistics = typename stream_type::statistics;

    stats() = default;
    stats(const stats&) = default;
    stats(stats&& other) noexcept(moves_silently)
        : normaliser_(std::move(other.normaliser_)),
          rows_(std::move(other.rows_)),
          supports_(std::move(other.supports_)),
          shape_(std::exchange(other.shape_, std::nullopt)),
          is_merged_(other.is_merged_) {}
    stats& operator=(const stats& other) {
        if (this != &other) *this = stats(other);
        return *this;
    }
    stats& operator=(stats&& other) noexcept(moves_silently) {
        if (this == &other) return *this;
        shape_.reset();  // until all is here: a normaliser's copy may throw
        normaliser_.reset();
        if (other.normaliser_) normaliser_.emplace(*std::move(other.normaliser_));
        rows_ = std::move(other.rows_);
        supports_ = std::move(other.supports_);
        shape_ = std::exchange(other.shape_, std::nullopt);
        is_merged_ = other.is_merged_;
        return *this;
    }
    ~stats() = default;

    /// [batch, heads, queries]; a missing axis is 1. [0, 0, 0] for the stats of no call.
    std::array<index, 3> extents() const {
        if (!shape_) return {};
        return {shape_->batch, shape_->heads, shape_->queries};
    }

    /// The numbers of one row. argument_error if there is no such row.
    const row_statistics& row(index batch, index head, index query) const {
        return rows_[number(batch, head, query)];
    }

    /// τ·log Σ_j e^{s_ij/τ} of each row, [batch, heads, queries], the sink's weight included; −∞
    /// for a row that sees nothing.
    Eigen::Tensor<Scalar, 3, Eigen::RowMajor> log_sum_exp() const {
        const auto [batches, heads, queries] = extents();
        Eigen::Tensor<Scalar, 3, Eigen::RowMajor> result(batches, heads, queries);
        for (index batch = 0; batch < batches; ++batch) {
            for (index head = 0; head < heads; ++head) {
                for (index query = 0; query < queries; ++query)
                    result(batch, head, query) =
                        static_cast<Scalar>(log_sum_exp(batch, head, query));
            }
        }
        return result;
    }
    /// The same of one row, in double. argument_error if there is no such row.
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

    /// How many probabilities of a row are not zero, for a sparse normaliser. argument_error if
    /// there is no such row.
    index support_size(index batch, index head, index query) const {
        static_assert(detail::is_sparse<stream_type>,
                      "heed: only the stats of a sparse normaliser know how many keys a row chose");
        number(batch, head, query);  // is there such a row
        return supports_.size(batch, head, query);
    }

    /// Refuses what are not the stats of a call of this shape: by argument_error those of no call,
    /// by shape_error those of another, be it in its keys alone. Merged ones serve a call with any
    /// part of their keys.
    void check(const attention_shape& shape) const {
        const attention_shape& own = call_shape();
        const auto queries = [](const attention_shape& of) {
            return std::array{of.batch, of.heads, of.queries, of.dim};
        };
        const auto keys = [](const attention_shape& of, index columns) {
            return std::array{of.batch, of.kv_heads, of.keys, columns};
        };
        attention_shape taken = own;
        if (is_merged_) taken.keys = std::min(own.keys, shape.keys);
        detail::require_shape(taken == shape, "stats are those of q, k and v of shapes ",
                              queries(own), ", ", keys(own, own.dim), " and ",
                              keys(own, own.value_dim), ", but must be those of ", queries(shape),
                              ", ", keys(shape, shape.dim), " and ", keys(shape, shape.value_dim));
    }
    /// The shape of the call; argument_error for the stats of none.
    const attention_shape& call_shape() const {
        detail::require_argument(
            shape_.has_value(),
            "stats are those of no call, but must be those of a forward call that has ended: these "
            "are as they were made, moved from, or of a call that threw");
        return *shape_;
    }

    /// For the kernels: room for the rows of a call, [batch, head, query]. Until it has ended these
    /// are the stats of no call.
    row_statistics* begin(const attention_shape& shape, const Normaliser& normaliser) {
        shape_.reset();
        is_merged_ = false;
        normaliser_.emplace(normaliser);
        rows_.resize(static_cast<std::size_t>(shape.batch * shape.heads * shape.queries));
        return rows_.data();
    }
    /// For the kernels: the call has ended.
    void end(const attention_shape& shape) { shape_ = shape; }
    /// For heed::merge: so many keys of another call are among theirs now.
    void add_keys(index keys) {
        shape_->keys += keys;
        is_merged_ = true;
    }
    /// What the rows of a head were computed in.
    stream_type stream(index head) const { return detail::make_kernel<Scalar>(*normaliser_, head); }
    row_statistics* data() { return rows_.data(); }
    const row_statistics* data() const { return rows_.data(); }
    detail::support_store<Scalar>& supports() { return supports_; }
    const detail::support_store<Scalar>& supports() const { return supports_; }

  private:
    std::size_t number(index batch, index head, index query) const {
        const auto [batches, heads, queries] = extents();
        detail::require_argument(0 <= batch && batch < batches && 0 <= head && head < heads &&
                                     0 <= query && query < queries,
                                 "stats have rows ", extents(), ", but not [", batch, ", ", head,
                                 ", ", query, "]");
        return static_cast<std::size_t>((batch * heads + head) * queries + query);
    }

    std::optional<Normaliser> normaliser_;  // an optional, since a part may refuse assignment
    std::vector<row_statistics, detail::uninitialised_allocator<row_statistics>> rows_;
    detail::support_store<Scalar> supports_;  // empty unless the normaliser is sparse
    std::optional<attention_shape> shape_;    // of the call; none before it has ended
    bool is_merged_ = false;                  // whether they are those of several calls' keys
};

/// The stats of a call whose normaliser is chosen at run time among several types: those of the one
/// that it was. They allocate nothing when they are used again for the same one.
template <class Scalar, class... Normalisers>
class stats<Scalar, std::variant<Normalisers...>> {
  public:
    /// Whether the last call was with this normaliser; its stats, argument_error if they are
    /// another's.
    template <class Normaliser>
    bool holds() const {
        return std::holds_alternative<stats<Scalar, Normaliser>>(chosen_);
    }
    template <class Normaliser>
    const stats<Scalar, Normaliser>& of() const {
        detail::require_argument(holds<Normaliser>(),
                                 "stats are those of another of the normalisers that may be "
                                 "chosen, but must be those of the one that is");
        return *std::get_if<stats<Scalar, Normaliser>>(&chosen_);
    }

    /// [batch, heads, queries]; a missing axis is 1. [0, 0, 0] for the stats of no call.
    std::array<index, 3> extents() const {
        return std::visit([](const auto& kept) { return kept.extents(); }, chosen_);
    }

    /// As those of each normaliser, where all have one.
    Eigen::Tensor<Scalar, 3, Eigen::RowMajor> log_sum_exp() const {
        return std::visit([](const auto& kept) { return kept.log_sum_exp(); }, chosen_);
    }
    double log_sum_exp(index batch, index head, index query) const {
        return std::visit([&](const auto& kept) { return kept.log_sum_exp(batch, head, query); },
                          chosen_);
    }

    /// Refuses what are not the stats of a call of this shape.
    void check(const attention_shape& shape) const {
        std::visit([&](const auto& kept) { kept.check(shape); }, chosen_);
    }

    /// For the kernels: the stats of this normaliser, in the place of another's.
    template <class Normaliser>
    stats<Scalar, Normaliser>& open() {
        using kept = stats<Scalar, Normaliser>;
        if (auto* again = std::get_if<kept>(&chosen_)) return *again;
        return chosen_.template emplace<kept>();
    }

  private:
    std::variant<stats<Scalar, Normalisers>...> chosen_;
};

namespace detail {

/// Among the stats of a call those of its normaliser: to be filled, and to be read.
template <class Normaliser, class T>
stats<T, Normaliser>& open_stats(stats<T, Normaliser>& kept) {
    return kept;
}
template <class Normaliser, class T, class... Normalisers>
stats<T, Normaliser>& open_stats(stats<T, std::variant<Normalisers...>>& kept) {
    return kept.template open<Normaliser>();
}
template <class Normaliser, class T>
const stats<T, Normaliser>& stats_of(const stats<T, Normaliser>& kept) {
    return kept;
}
template <class Normaliser, class T, class... Normalisers>
const stats<T, Normaliser>& stats_of(const stats<T, std::variant<Normalisers...>>& kept) {
    return kept.template of<Normaliser>();
}

}  // namespace detail

}  // namespace heed::inline HEED_ARCHITECTURE
