#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/units/kernel/rwkv_rows.hpp>
#include <heed/linear/units/kernel/token_rows.hpp>
#include <heed/linear/units/kernel/unit_call.hpp>
#include <heed/linear/units/unit_state.hpp>

/// \file
/// Calls of RWKV's unit, once they are views.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// What a call reads.
template <class T>
struct rwkv_inputs {
    tensor_view<const T, 1> decay, bonus;
    tensor_view<const T, 3> r, k, v;

    index batch() const { return r.extents[0]; }
    index tokens() const { return r.extents[1]; }
    index channels() const { return r.extents[2]; }

    std::array<named_memory, 2> parameters() const {
        return {named_memory{"decay", decay}, {"bonus", bonus}};
    }
    /// Refuses what is impossible or does not fit together.
    void check(std::span<const named_memory> tensors) const {
        check_unit_inputs(tensors, parameters(), channels());
        require_shape(channels() > 0, "r has shape ", r.extents, ", but must have channels");
        check_finite_parameter("heed::rwkv", "decay", decay, true);
        check_finite_parameter("heed::rwkv", "bonus", bonus, false);
    }
};

/// A state may be without what rounding lost of its size: users give none.
template <class T>
void check_rwkv_state(std::string_view name, const unit_state<T>* state, const rwkv_inputs<T>& of) {
    const index parts = state != nullptr && state->parts() == 3 ? 3 : 4;
    check_unit_state(name, state, parts, of.batch(), of.channels());
}

/// The parameters as the kernel takes them, for all channels.
template <class T>
rwkv_group<T> rwkv_numbers(const rwkv_inputs<T>& of, arena& memory) {
    constexpr double most = largest_size<T>;
    const auto log_decay = [&](index c) {
        return std::max(-std::exp(static_cast<double>(of.decay(c))), -most);
    };
    const auto bonus = [&](index c) {
        return std::clamp(static_cast<double>(of.bonus(c)), -most, most);
    };
    return {0, numbers_of_channels<T>(of.channels(), memory, log_decay),
            numbers_of_channels<T>(of.channels(), memory, bonus)};
}
template <class T>
rwkv_group<T> numbers_of_group(const rwkv_group<T>& all, const channel_group& group) {
    return {group.width, all.log_decay + group.first, all.bonus + group.first};
}

/// The sums of a state for a group of channels: those of no token where there is no state.
template <class T>
std::array<T*, 4> load_sums(const unit_state<T>* state, const channel_group& group, arena& memory) {
    return {load_part(state, 0, T(0), group, memory), load_part(state, 1, T(0), group, memory),
            load_part(state, 2, -largest_size<T>, group, memory),
            load_part(state, 3, T(0), group, memory)};
}

template <class T>
void run_rwkv(const rwkv_inputs<T>& of, const tensor_view<T, 3>& o, const unit_extras<T>& extras) {
    const std::array<named_memory, 3> inputs{named_memory{"r", of.r}, {"k", of.k}, {"v", of.v}};
    of.check(inputs);
    const named_memory output{"o", o};
    check_unit_outputs({&output, 1}, inputs[0], {}, inputs, of.parameters());
    check_rwkv_state("the state", extras.carried, of);

    arena& own = extras.resources.memory->slot(0);
    const arena::scope scope(own);
    const rwkv_group<T> all = rwkv_numbers(of, own);
    unit_state<T>* const state = extras.carried;
    // The state of no sequence, and that of three parts, are first made one of four.
    if (state != nullptr) {
        const index given = state->parts();
        unit_state_access<T>::shape(*state, 4, of.batch(), of.channels());
        const index size = of.batch() * of.channels();
        for (index i = given; i < 4; ++i)
            std::fill_n(unit_state_access<T>::part(*state, i), size,
                        i == 2 ? -largest_size<T> : T(0));
    }
    for_each_group<T>(extras.resources, of.batch(), of.channels(),
                      [&](arena& memory, const channel_group& group) {
                          const rwkv_group<T> numbers = numbers_of_group(all, group);
                          const token_reader<T> r(of.r, group, memory), k(of.k, group, memory),
                              v(of.v, group, memory);
                          const token_writer<T> to(o, group, memory);
                          const std::array<T*, 4> sums = load_sums(state, group, memory);
                          for_each_block(of.tokens(), [&](index first, index count) {
                              rwkv_forward(numbers, count, r(first, count), k(first, count),
                                           v(first, count), to.rows(first), sums);
                              to.done(first, count);
                          });
                          for (index i = 0; i < 4; ++i)
                              store_part(sums[static_cast<std::size_t>(i)], state, i, group);
                      });
}

/// Gradients of a call: tensors, parameters, and the state before the first token.
template <class T>
struct rwkv_outputs {
    tensor_view<T, 3> r, k, v;
    tensor_view<T, 1> decay, bonus;
    unit_state<T>* state;
};

/// A group backward. The sums before each block are kept on a walk forth, those before each of its
/// tokens when the walk back comes to it.
template <class T>
class rwkv_backward_group {
  public:
    rwkv_backward_group(const rwkv_inputs<T>& of, const tensor_view<const T, 3>& d_o,
                        const rwkv_outputs<T>& to, const rwkv_group<T>& numbers,
                        const channel_group& group, arena& memory)
        : tokens_(of.tokens()),
          numbers_(numbers),
          group_(group),
          memory_(memory),
          d_o_(d_o, group, memory),
          r_(of.r, group, memory),
          k_(of.k, group, memory),
          v_(of.v, group, memory),
          dr_(to.r, group, memory),
          dk_(to.k, group, memory),
          dv_(to.v, group, memory) {}

    /// Adds to the sums of decay (0) and bonus (1); leaves the gradient of the initial state.
    void run(const unit_state<T>* initial, const unit_state<T>* of_final_state,
             const parameter_sums& parameters, unit_state<T>& state_gradient) {
        const index width = group_.width;
        const std::array<T*, 4> sums = load_sums(initial, group_, memory_);
        const std::array<T*, 4> at_first = load_sums(initial, group_, memory_);
        T* const before_blocks = memory_.take<T>(4 * width * count_blocks(tokens_, unit_block));
        for_each_block(tokens_, [&](index first, index count) {
            copy_sums(sums, rows_at(before_blocks, first / unit_block));
            rwkv_advance<T>(numbers_, count, k_(first, count), v_(first, count), sums, nullptr);
        });

        const std::array<T*, 4> gradients = begin(of_final_state, sums);
        rwkv_backward_rows<T> rows{};
        rows.kept = memory_.take<T>(4 * width * unit_block);
        rows.gradients = gradients;
        rows.of_decay = filled(T(0), width, memory_);
        rows.of_bonus = filled(T(0), width, memory_);
        for_each_block_backward(tokens_, [&](index first, index count) {
            rows.k = k_(first, count);
            rows.v = v_(first, count);
            copy_sums(rows_at(before_blocks, first / unit_block), sums);
            rwkv_advance(numbers_, count, rows.k, rows.v, sums, rows.kept);
            rows.d_o = d_o_(first, count);
            rows.r = r_(first, count);
            rows.dr = dr_.rows(first);
            rows.dk = dk_.rows(first);
            rows.dv = dv_.rows(first);
            rwkv_backward(numbers_, count, rows);
            dr_.done(first, count);
            dk_.done(first, count);
            dv_.done(first, count);
            parameters.add(group_, 0, rows.of_decay);
            parameters.add(group_, 1, rows.of_bonus);
        });
        finish(gradients, at_first, state_gradient);
    }

  private:
    /// Four rows of numbers, the i-th such.
    std::array<T*, 4> rows_at(T* all, index i) const {
        T* const at = all + 4 * i * group_.width;
        return {at, at + group_.width, at + 2 * group_.width, at + 3 * group_.width};
    }
    void copy_sums(const std::array<T*, 4>& from, const std::array<T*, 4>& to) const {
        for (std::size_t i = 0; i < 4; ++i) std::copy_n(from[i], group_.width, to[i]);
    }

    /// The gradient of the sums after the last token: it is given at their size, and is e^−size
    /// times that.
    std::array<T*, 4> begin(const unit_state<T>* given, const std::array<T*, 4>& last) const {
        const std::array<T*, 4> to{
            load_part(given, 0, T(0), group_, memory_), load_part(given, 1, T(0), group_, memory_),
            filled(T(0), group_.width, memory_), filled(T(0), group_.width, memory_)};
        for (std::size_t i = 2; i < 4; ++i)
            for (index c = 0; c < group_.width; ++c) to[i][c] = -last[i][c];
        return to;
    }

    /// And that of the sums before the first token, at their size.
    void finish(const std::array<T*, 4>& gradients, const std::array<T*, 4>& first,
                unit_state<T>& to) const {
        for (index c = 0; c < group_.width; c += vec<T>::size) {
            const auto found = rwkv_sums<T>::load(gradients.data(), c);
            const vec<T> weight = weight_of(found.size, rwkv_sums<T>::load(first.data(), c).size);
            (weight * found.numerator).store(gradients[0] + c);
            (weight * found.denominator).store(gradients[1] + c);
        }
        store_part(gradients[0], &to, 0, group_);
        store_part(gradients[1], &to, 1, group_);
    }

    index tokens_;
    rwkv_group<T> numbers_;
    channel_group group_;
    arena& memory_;
    token_reader<T> d_o_, r_, k_, v_;
    token_writer<T> dr_, dk_, dv_;
};

template <class T>
void run_rwkv_backward(const rwkv_inputs<T>& of, const tensor_view<const T, 3>& d_o,
                       const rwkv_outputs<T>& to, const unit_extras<T>& extras) {
    const std::array<named_memory, 4> inputs{
        named_memory{"r", of.r}, {"k", of.k}, {"v", of.v}, {"d_o", d_o}};
    of.check(inputs);
    const std::array<named_memory, 3> outputs{named_memory{"dr", to.r}, {"dk", to.k}, {"dv", to.v}};
    const std::array<named_memory, 2> gradients{named_memory{"d_decay", to.decay},
                                                {"d_bonus", to.bonus}};
    check_unit_outputs(outputs, inputs[0], gradients, inputs, of.parameters());
    check_rwkv_state("the initial state", extras.initial, of);
    check_unit_state("the gradient of the final state", extras.of_final_state, 2, of.batch(),
                     of.channels());

    arena& own = extras.resources.memory->slot(0);
    const arena::scope scope(own);
    const rwkv_group<T> all = rwkv_numbers(of, own);
    const parameter_sums sums(2, of.batch(), of.channels(), own);
    unit_state<T> state_gradient;
    unit_state_access<T>::shape(state_gradient, 2, of.batch(), of.channels());
    // Narrow groups: the sums before each token of a block stay in the second cache.
    for_each_group<T>(
        extras.resources, of.batch(), of.channels(),
        [&](arena& memory, const channel_group& group) {
            rwkv_backward_group<T>(of, d_o, to, numbers_of_group(all, group), group, memory)
                .run(extras.initial, extras.of_final_state, sums, state_gradient);
        },
        unit_group<T> / 4);
    for (index c = 0; c < of.channels(); ++c) {
        // log λ = −e^decay
        to.decay(c) =
            static_cast<T>(-sums.total(0, c) * std::exp(static_cast<double>(of.decay(c))));
        to.bonus(c) = static_cast<T>(sums.total(1, c));
    }
    *to.state = std::move(state_gradient);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
