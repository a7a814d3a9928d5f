#pragma once

#include <cstddef>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>

/// \file
/// What a recurrent unit has seen so far, carried from call to call.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

template <class T>
struct unit_state_access;

}  // namespace detail

/// The state of a recurrent unit, or its gradient: parts of [batch, channels] numbers. Empty at
/// first, which is the state of no sequence; it takes its shape from its first call. A value: a
/// copy is a fork of the sequence.
///
/// - real_linear_recurrent_unit: x;
/// - linear_recurrent_unit: the real parts of x, the imaginary ones;
/// - rwkv: the numerator y and the denominator z, the logarithm m of the size of both, and what
///   rounding lost of m; of a gradient that of y and that of z, at their size.
template <class Scalar>
class unit_state {
  public:
    using matrix_type = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    unit_state() = default;

    /// A state of these parts, each [batch, channels] of one shape; shape_error where they differ.
    /// heed::rwkv takes (y, z, m) too: nothing is lost of m then.
    template <tensor_like First, tensor_like... Others>
    static unit_state from(const First& first, const Others&... others) {
        static_assert(rank_of<First> == 2 && ((rank_of<Others> == 2) && ...),
                      "heed: each part of a unit's state is [batch, channels]");
        const auto held = detail::evaluate("the first part of the state", first);
        const auto like = held.view();
        unit_state result;
        result.shape(1 + sizeof...(Others), like.extents[0], like.extents[1]);
        std::size_t next = 0;
        const auto copy = [&](const auto& part) {
            const auto held_part = detail::evaluate("a part of the state", part);
            const auto from = held_part.view();
            detail::require_shape(from.extents == like.extents, "a part of the state has shape ",
                                  from.extents, " and the first has shape ", like.extents,
                                  ", but the two must be the same");
            for (index b = 0; b < from.extents[0]; ++b)
                for (index c = 0; c < from.extents[1]; ++c)
                    result.numbers_[next++] = static_cast<Scalar>(from(b, c));
        };
        copy(first);
        (copy(others), ...);
        return result;
    }

    /// Whether it is the state of no sequence.
    bool empty() const noexcept { return parts_ == 0; }
    index parts() const noexcept { return parts_; }
    index batch() const noexcept { return batch_; }
    index channels() const noexcept { return channels_; }

    /// [batch, channels], where they lie. argument_error if there is no such part.
    Eigen::Map<const matrix_type> part(index i) const {
        detail::require_argument(i >= 0 && i < parts_, "heed::unit_state::part: there is no part ",
                                 i, ": the state has ", parts_);
        return {numbers_.data() + i * batch_ * channels_, batch_, channels_};
    }

    /// The state of no sequence; its memory is kept.
    void clear() noexcept { parts_ = batch_ = channels_ = 0; }

  private:
    friend struct detail::unit_state_access<Scalar>;

    void shape(std::size_t parts, index batch, index channels) {
        numbers_.resize(parts * static_cast<std::size_t>(batch * channels));
        parts_ = static_cast<index>(parts);
        batch_ = batch;
        channels_ = channels;
    }

    std::vector<Scalar> numbers_;
    index parts_ = 0, batch_ = 0, channels_ = 0;
};

namespace detail {

/// The way of a call into a state.
template <class T>
struct unit_state_access {
    static void shape(unit_state<T>& of, std::size_t parts, index batch, index channels) {
        of.shape(parts, batch, channels);
    }
    static T* part(unit_state<T>& of, index i) {
        return of.numbers_.data() + i * of.batch_ * of.channels_;
    }
    static const T* part(const unit_state<T>& of, index i) {
        return of.numbers_.data() + i * of.batch_ * of.channels_;
    }
};

/// What heed::carry and heed::state_gradient make.
template <class T>
struct carried_unit_state {
    unit_state<T>* state;
};
template <class T>
struct constant_unit_state {
    const unit_state<T>* state;
};
template <class T>
struct unit_state_gradient {
    const unit_state<T>* gradient;
};

}  // namespace detail

/// Forward: begins with this state, and leaves there the state after the last token. So a sequence
/// may come in any pieces, down to one token at a time, with the same bits as in one call:
///
///     heed::unit_state<float> state;
///     auto o = unit(r, k, v, heed::carry(state));   // a prompt; then token by token
///
/// Backward takes a copy of the state as it was before the call, and leaves it as it is. The call
/// throws shape_error for a state of another shape or another unit. If a call throws for another
/// reason (memory), the state is that of no sequence: clear it.
template <class Scalar>
[[nodiscard]] detail::carried_unit_state<Scalar> carry(unit_state<Scalar>& state) {
    return {&state};
}
template <class Scalar>
[[nodiscard]] detail::constant_unit_state<Scalar> carry(const unit_state<Scalar>& state) {
    return {&state};
}

/// Backward: the gradient that reaches the state after the last token, which is `.state` of
/// backward of the next piece. So a sequence is trained in pieces, the last one first:
///
///     auto grad2 = unit.backward(d_o2, r2, k2, v2, heed::carry(between));
///     auto grad1 = unit.backward(d_o1, r1, k1, v1, heed::state_gradient(grad2.state));
template <class Scalar>
[[nodiscard]] detail::unit_state_gradient<Scalar> state_gradient(
    const unit_state<Scalar>& gradient) {
    return {&gradient};
}

}  // namespace heed::inline HEED_ARCHITECTURE
