#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>
#include <heed/linear/units/kernel/token_rows.hpp>
#include <heed/linear/units/unit_state.hpp>
#include <heed/rows/row_arguments.hpp>

/// \file
/// What a call of a unit is given: tensors, parameters, states, and their checks.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The view as [batch, sequence, channels].
template <class T, int Rank>
tensor_view<T, 3> batched(const tensor_view<T, Rank>& x) {
    static_assert(Rank == 2 || Rank == 3);
    if constexpr (Rank == 3)
        return x;
    else
        return {x.data, {1, x.extents[0], x.extents[1]}, {0, x.strides[0], x.strides[1]}};
}

/// Stops the compilation with one sentence if these cannot be a unit's tensors. False then.
template <class First, class... Others>
constexpr bool check_unit_tensors() {
    constexpr bool tensors = tensor_like<First> && (tensor_like<Others> && ...);
    static_assert(tensors,
                  "heed: a recurrent unit takes Eigen tensors, matrices, arrays, maps, blocks, or "
                  "heed::view");
    if constexpr (tensors) {
        constexpr bool good_rank = (rank_of<First> == 2 || rank_of<First> == 3) &&
                                   ((rank_of<Others> == rank_of<First>)&&...);
        static_assert(good_rank,
                      "heed: a recurrent unit takes [sequence, channels] or [batch, sequence, "
                      "channels], and all its tensors have the same rank");
        using T = scalar_of<First>;
        constexpr bool good_scalar = (std::is_same_v<T, float> || std::is_same_v<T, double>)&&(
            std::is_same_v<scalar_of<Others>, T> && ...);
        static_assert(good_scalar,
                      "heed: a recurrent unit computes in float or double, the same for all its "
                      "tensors");
        return good_rank && good_scalar;
    } else {
        return false;
    }
}

/// The same for the parameters of a unit, each a kept vector.
template <class T, class... Parameters>
constexpr bool check_unit_parameters() {
    constexpr bool fits = (std::is_same_v<decltype(std::declval<const Parameters&>().view()),
                                          tensor_view<const T, 1>> &&
                           ...);
    static_assert(fits, "heed: the parameters of a recurrent unit have the scalar of its tensors");
    return fits;
}

/// What stands behind the tensors of a call in T.
template <class T>
struct unit_extras {
    call_resources resources{};
    unit_state<T>* carried = nullptr;               ///< forward
    const unit_state<T>* initial = nullptr;         ///< backward: the same before the call
    const unit_state<T>* of_final_state = nullptr;  ///< backward: its gradient

    template <class... Extras>
    explicit unit_extras(const Extras&... extras) {
        (take(extras), ...);
    }

  private:
    void take(const on_pool& extra) { resources.pool = extra.pool; }
    void take(const in_workspace& extra) { resources.memory = extra.memory; }
    void take(const carried_unit_state<T>& extra) { initial = carried = extra.state; }
    void take(const constant_unit_state<T>& extra) { initial = extra.state; }
    void take(const unit_state_gradient<T>& extra) { of_final_state = extra.gradient; }
};

/// Stops the compilation with one sentence if something else stands there. False then.
template <class T, bool Backward, class... Extras>
constexpr bool check_unit_extras() {
    constexpr bool fits =
        ((std::is_same_v<Extras, on_pool> || std::is_same_v<Extras, in_workspace> ||
          std::is_same_v<Extras, carried_unit_state<T>> ||
          (Backward && (std::is_same_v<Extras, constant_unit_state<T>> ||
                        std::is_same_v<Extras, unit_state_gradient<T>>))) &&
         ...);
    static_assert(fits,
                  "heed: behind its tensors a recurrent unit takes heed::on, heed::in and "
                  "heed::carry of a state of their scalar, backward heed::state_gradient too");
    return fits;
}

/// The greatest logarithm of a parameter: e to it is a number.
inline constexpr double largest_logarithm = 709;

/// Refuses, by argument_error, a parameter of a channel that is not finite, or a logarithm whose
/// exponential is not.
template <class T>
void check_finite_parameter(std::string_view unit, std::string_view name,
                            const tensor_view<const T, 1>& numbers, bool is_logarithm) {
    for (index c = 0; c < numbers.extents[0]; ++c) {
        const auto x = static_cast<double>(numbers(c));
        if (is_logarithm)
            require_argument(x <= largest_logarithm, unit, ": ", name, " of channel ", c, " is ", x,
                             ", but must be at most ", largest_logarithm);
        else
            require_argument(std::isfinite(x), unit, ": ", name, " of channel ", c, " is ", x,
                             ", but must be finite");
    }
}

/// A tensor or a vector of a call, and its name.
struct named_memory {
    std::string_view name;
    memory_span memory;
};

/// Refuses inputs that are impossible or not of the first one's shape, and parameters that are not
/// one for each of `channels`.
inline void check_unit_inputs(std::span<const named_memory> inputs,
                              std::span<const named_memory> parameters, index channels) {
    const named_memory& first = inputs.front();
    for (const named_memory& x : inputs) {
        check_view(x.name, x.memory);
        check_same_shape(first.name, first.memory, x.name, x.memory);
    }
    for (const named_memory& p : parameters)
        require_shape(p.memory.extents[0] == channels, p.name, " has length ", p.memory.extents[0],
                      " and ", first.name, " has shape ", first.memory.extents,
                      ", but there must be one number for each of its ", channels, " channels");
}

/// Memory for the gradient of a parameter, a vector of as many numbers, as one axis.
template <tensor_like X>
tensor_view<scalar_of<X>, 1> parameter_output(std::string_view name, X& x, index channels) {
    const auto all = view_of(x);
    check_vector_gradient(name, all, channels);
    if constexpr (rank_of<X> == 1) {
        return all;
    } else {
        const std::size_t axis = all.extents[0] == 1 ? 1 : 0;
        return {all.data, {all.extents[axis]}, {all.strides[axis]}};
    }
}

/// Refuses outputs that are impossible, not of the shape of `like`, or not apart from one another
/// and from all inputs. Gradients of parameters have
/// shapes of their own: see parameter_output.
inline void check_unit_outputs(std::span<const named_memory> outputs, const named_memory& like,
                               std::span<const named_memory> parameter_gradients,
                               std::span<const named_memory> inputs,
                               std::span<const named_memory> parameters) {
    for (const named_memory& y : outputs) {
        check_view(y.name, y.memory);
        check_same_shape(like.name, like.memory, y.name, y.memory);
    }
    const index tensors = static_cast<index>(outputs.size());
    const index all = tensors + static_cast<index>(parameter_gradients.size());
    const auto output = [&](index i) -> const named_memory& {
        return i < tensors ? outputs[static_cast<std::size_t>(i)]
                           : parameter_gradients[static_cast<std::size_t>(i - tensors)];
    };
    for (index i = 0; i < all; ++i) {
        check_writable(output(i).name, output(i).memory);
        for (const named_memory& x : inputs)
            check_apart(output(i).name, output(i).memory, x.name, x.memory);
        for (const named_memory& p : parameters)
            check_apart(output(i).name, output(i).memory, p.name, p.memory);
        for (index j = 0; j < i; ++j)
            check_outputs_apart(output(i).name, output(i).memory, output(j).name, output(j).memory);
    }
}

/// Refuses, by shape_error, a state of another unit or of other shapes; an empty one fits.
template <class T>
void check_unit_state(std::string_view name, const unit_state<T>* state, index parts, index batch,
                      index channels) {
    if (state == nullptr || state->empty()) return;
    const std::array<index, 3> needed{parts, batch, channels};
    const std::array<index, 3> given{state->parts(), state->batch(), state->channels()};
    require_shape(given == needed, name, " has ", given[0], " parts of shape ",
                  std::span(given).subspan(1), ", but this call's has ", needed[0], " of shape ",
                  std::span(needed).subspan(1));
}

/// Part i of a state for a group of channels, whole vectors of it; `otherwise` where there is no
/// such part.
template <class T>
T* load_part(const unit_state<T>* state, index i, T otherwise, const channel_group& group,
             arena& memory) {
    if (state == nullptr || i >= state->parts()) return filled(otherwise, group.width, memory);
    const T* const from = unit_state_access<T>::part(*state, i);
    return padded_copy(from + group.batch * state->channels() + group.first, group.channels,
                       group.width, memory);
}

/// And back into a state that has the part.
template <class T>
void store_part(const T* from, unit_state<T>* state, index i, const channel_group& group) {
    if (state == nullptr) return;
    std::copy_n(
        from, group.channels,
        unit_state_access<T>::part(*state, i) + group.batch * state->channels() + group.first);
}

/// Sums over the tokens that every group of channels leaves for each sequence, and that are then
/// added in the sequences' order: the same bits for any threads.
class parameter_sums {
  public:
    parameter_sums(index sums, index batch, index channels, arena& memory)
        : batch_(batch), channels_(channels) {
        const index size = sums * batch * channels;
        numbers_ = memory.take<double>(size);
        std::fill_n(numbers_, size, 0.0);
    }

    /// Adds the sums of a block, `width` numbers each, and begins them anew.
    template <class T>
    void add(const channel_group& group, index sum, T* block) const {
        double* const to = numbers_ + (sum * batch_ + group.batch) * channels_ + group.first;
        for (index c = 0; c < group.channels; ++c) to[c] += static_cast<double>(block[c]);
        std::fill_n(block, group.width, T(0));
    }
    double total(index sum, index channel) const {
        double result = 0;
        for (index b = 0; b < batch_; ++b)
            result += numbers_[(sum * batch_ + b) * channels_ + channel];
        return result;
    }

  private:
    index batch_, channels_;
    double* numbers_;
};

/// One number for each channel in whole vectors of every group: f(channel).
template <class T, class F>
T* numbers_of_channels(index channels, arena& memory, F&& f) {
    const index width = round_up(channels, vec<T>::size);
    T* const numbers = memory.take<T>(width);
    for (index c = 0; c < channels; ++c) numbers[c] = static_cast<T>(f(c));
    std::fill(numbers + channels, numbers + width, T(0));
    return numbers;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
