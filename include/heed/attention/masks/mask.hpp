#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/user_function.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/lane_functions.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>

/// \file
/// A mask by the user's own function.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// A user's mask that says nothing of tiles.
struct no_tile {};

template <class Tile>
concept takes_tile = std::is_invocable_r_v<visibility, const Tile&, index, index, index, index>;

/// What a mask's function returned.
template <class T, class Result>
vec_mask<T> truths(Result seen) {
    if constexpr (std::is_same_v<Result, vec_mask<T>>) {
        return seen;
    } else {
        constexpr bool is_truth = std::is_arithmetic_v<Result>;
        static_assert(is_truth,
                      "heed: a mask's function returns a truth a lane, as a comparison is one, "
                      "i % 2 == 0 and not i % 2, or a bool for all lanes");
        if constexpr (is_truth)
            return vec_mask<T>(seen != Result(0));
        else
            return vec_mask<T>(true);
    }
}

/// A user's function on vectors, for the keys of one row.
template <class T, class F>
struct mask_row {
    const F& f;
    query_row row;

    vec_mask<T> operator()(const key_lanes<T>& j) const {
        constexpr bool takes = takes_place<F, lanes<T>>;
        static_assert(takes,
                      "heed: a mask's function takes (i, j) or (batch, head, i, j), i and j as "
                      "heed::lanes<T>; one that only takes numbers goes in as "
                      "heed::mask(heed::scalar(f))");
        if constexpr (takes)
            return truths<T>(call_with_place(f, row, row.lane_position<T>(), j.position));
        else
            return vec_mask<T>(true);
    }
};

/// A user's function on numbers.
template <class T, class F>
struct mask_row<T, scalar_function<F>> {
    const scalar_function<F>& f;
    query_row row;

    vec_mask<T> operator()(const key_lanes<T>& j) const {
        constexpr bool takes = takes_place<F, index>;
        static_assert(takes,
                      "heed: a mask's scalar function takes (i, j) or (batch, head, i, j), all of "
                      "them heed::index");
        const auto position = whole_positions(j.position);
        std::uint64_t bits = 0;
        for (index l = 0; l < j.count && l < vec<T>::size; ++l) {
            const auto key = position[static_cast<std::size_t>(l)];
            bool seen = true;
            if constexpr (takes)
                seen = static_cast<bool>(call_with_place(f.f, row, row.position, key));
            bits |= static_cast<std::uint64_t>(seen) << l;
        }
        return vec_mask<T>::from_bits(bits);
    }
};

}  // namespace detail

/// The type of heed::mask(f) and heed::mask(f, tile).
template <class F, class Tile = detail::no_tile>
class mask_function : public mask_base {
  public:
    // The user's tile function is told positions, which are the keys' indices only by default.
    static constexpr bool by_position = true;

    mask_function(F f, Tile of_tiles) : f_(std::move(f)), tile_(std::move(of_tiles)) {}

    template <class T>
    auto on_row(const query_row& i) const {
        return detail::mask_row<T, F>{f_, i};
    }

    visibility tile(const query_row& first, const query_row& last,
                    key_interval keys) const requires detail::takes_tile<Tile> {
        return tile_(first.position, last.position, keys.first, keys.last - 1);
    }

  private:
    F f_;
    [[no_unique_address]] Tile tile_;
};

/// Query i sees key j if f(i, j), or f(batch, head, i, j), is true. f is called with i and j as
/// heed::lanes<T>, positions in the lanes of a vector: arithmetic and comparisons work as on
/// numbers, conditions combine by &&, || and !, and the result is heed::vec_mask<T> or bool. A
/// function that only takes numbers, branches on them or reads a table goes in as heed::scalar(f).
///
///     heed::mask([](auto i, auto j) { return i - j < 4096; })
template <class F>
[[nodiscard]] auto mask(F&& f) {
    return mask_function<std::decay_t<F>>(std::forward<F>(f), {});
}

/// The same, with a second function that spares the kernel what is not seen: tile(first_i, last_i,
/// first_j, last_j), of positions, both ends included, returns heed::visibility::none if none of
/// these queries sees any of these keys, ::all if each sees all, ::mixed otherwise or in doubt. It
/// is not asked when heed::positions is given.
template <class F, detail::takes_tile Tile>
[[nodiscard]] auto mask(F&& f, Tile&& tile) {
    return mask_function<std::decay_t<F>, std::decay_t<Tile>>(std::forward<F>(f),
                                                              std::forward<Tile>(tile));
}

}  // namespace heed::inline HEED_ARCHITECTURE
