#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The way back of gradients through the modifiers of a row.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// One vector of products through all modifiers, from left to right, and the gradient of the scores
/// the way back: `gradient_of(score)` is that of the last one. At every step numbers go through
/// `harmless`, since lanes that are not seen may hold anything, and modifiers may make anything of
/// it. `learning` is told of every modifier.
template <class T, class Modifiers, class Bound, class Learning, class Harmless, class Gradient>
[[gnu::always_inline]] inline vec<T> differentiate_modifiers(
    [[maybe_unused]] const Modifiers& modifiers, [[maybe_unused]] const Bound& bound,
    [[maybe_unused]] const Learning& learning, [[maybe_unused]] const query_row& row,
    [[maybe_unused]] const key_lanes<T>& keys, vec<T> product, Harmless&& harmless,
    Gradient&& gradient_of) {
    constexpr std::size_t count = std::tuple_size_v<Modifiers>;
    std::array<vec<T>, count + 1> stage;
    stage[0] = product;
    const auto forward = [&]<std::size_t... I>(std::index_sequence<I...>)
        __attribute__((always_inline)) {
        ((stage[I + 1] = harmless(std::get<I>(bound)(stage[I], keys))), ...);
    };
    forward(std::make_index_sequence<count>{});
    vec<T> gradient = gradient_of(stage[count]);
    [[maybe_unused]] const auto back = [&]<std::size_t I>() __attribute__((always_inline)) {
        learning.add(std::get<I>(modifiers), row, keys, stage[I], stage[I + 1], gradient);
        gradient = harmless(multiply_derivative<T>(std::get<I>(modifiers), std::get<I>(bound),
                                                   stage[I], stage[I + 1], keys, gradient));
    };
    const auto all_back = [&]<std::size_t... I>(std::index_sequence<I...>)
        __attribute__((always_inline)) {
        (back.template operator()<count - 1 - I>(), ...);
    };
    all_back(std::make_index_sequence<count>{});
    return gradient;
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
