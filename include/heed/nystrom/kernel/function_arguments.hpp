#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/view.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// The arguments of functions of the last two axes of a tensor.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// On whose threads, from how much work on, and in whose memory: heed::on(pool), heed::in(memory).
struct function_resources {
    on_pool threads{.pool = nullptr};
    workspace* memory = nullptr;

    template <class... Extras>
    explicit function_resources(const Extras&... extras) {
        static_assert(
            ((std::is_same_v<Extras, on_pool> || std::is_same_v<Extras, in_workspace>)&&...),
            "heed: beside its tensors and numbers, this function takes heed::on(pool) and "
            "heed::in(workspace), no more");
        (take(extras), ...);
        if (memory == nullptr) memory = &thread_workspace();
    }

  private:
    void take(const on_pool& extra) { threads = extra; }
    void take(const in_workspace& extra) { memory = extra.memory; }
    template <class Other>
    void take(const Other&) {}
};

/// Stops the compilation with one sentence unless X has a matrix, of floats, doubles or numbers of
/// 16 bits, in its last two axes. False then.
template <class X>
constexpr bool check_matrices() {
    if constexpr (tensor_like<X>) {
        constexpr bool good_rank = rank_of<X> >= 2 && rank_of<X> <= 4;
        static_assert(good_rank,
                      "heed: this function takes [rows, columns], with one or two axes in front");
        constexpr bool good_scalar = std::is_same_v<computed_in<scalar_of<X>>, float> ||
                                     std::is_same_v<scalar_of<X>, double>;
        static_assert(good_scalar,
                      "heed: this function takes float, double, Eigen::half and Eigen::bfloat16");
        return good_rank && good_scalar;
    } else {
        static_assert(tensor_like<X>,
                      "heed: this function takes an Eigen tensor, matrix, array, map, block, or "
                      "heed::view");
        return false;
    }
}

/// The view of an output as four axes, checked against the extents it must have and the input.
template <class T, class Y>
tensor_view<T, 4> checked_result(std::string_view name, Y& y, const std::array<index, 4>& extents,
                                 std::string_view input_name,
                                 const tensor_view<const T, 4>& input) {
    static_assert(std::is_same_v<scalar_of<Y>, T>, "heed: a result must have its input's scalar");
    const tensor_view<T, 4> view = rank4(view_of(y));
    check_view(name, view);
    require_shape(view.extents == extents, name, " has shape ", view.extents, ", but must have ",
                  extents);
    check_writable(name, view);
    check_apart(name, view, input_name, input);
    return view;
}

/// An object of X's kind with `rows` and `columns` in the place of its last two axes.
template <class X, std::size_t Rank>
auto make_matrices(std::string_view name, std::array<index, Rank> extents, index rows,
                   index columns) {
    extents[Rank - 2] = rows;
    extents[Rank - 1] = columns;
    check_result<scalar_of<X>>(name, extents);
    return make_like<X>(extents);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
