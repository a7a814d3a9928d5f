#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <heed/attention/detail/user_function.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/lane_functions.hpp>
#include <heed/core/lane_numbers.hpp>
#include <heed/core/lanes.hpp>
#include <heed/core/scalar.hpp>
#include <heed/core/simd.hpp>

/// \file
/// A score modifier by the user's own function.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Whether a function of vectors or of numbers takes the score and nothing else.
template <class F, class T>
inline constexpr bool takes_score_alone = std::is_invocable_v<const F&, vec<T>>;
template <class F, class T>
inline constexpr bool takes_score_alone<scalar_function<F>, T> = std::is_invocable_v<const F&, T>;

/// In the place of a derivative that was not given.
struct no_derivative {};

/// What a modifier's function returned.
template <class T, class Result>
vec<T> scores(Result s) {
    constexpr bool is_score = std::is_arithmetic_v<Result> || std::is_same_v<Result, vec<T>> ||
                              std::is_same_v<Result, lanes<T>>;
    static_assert(is_score,
                  "heed: a modifier's function returns scores, or a number for all lanes; what a "
                  "condition chooses is select(j > i, a, b)");
    if constexpr (is_score)
        return vec<T>(s);
    else
        return vec<T>(T(0));
}

/// f on a vector of scores, f on vectors.
template <class T, class F>
vec<T> call_on_scores(const F& f, const query_row& row, vec<T> s, const key_lanes<T>& j) {
    constexpr bool takes = takes_place<F, lanes<T>, vec<T>>;
    static_assert(takes,
                  "heed: a modifier's function takes (s), (s, i, j) or (s, batch, head, i, j), s "
                  "as heed::vec<T>, i and j as heed::lanes<T>; one that only takes numbers goes in "
                  "as heed::modifier(heed::scalar(f))");
    if constexpr (takes)
        return scores<T>(call_with_place(f, row, row.lane_position<T>(), j.position, s));
    else
        return s;
}

/// The same, f on numbers; lanes without a key keep their score.
template <class T, class F>
vec<T> call_on_scores(const scalar_function<F>& f, const query_row& row, vec<T> s,
                      const key_lanes<T>& j) {
    constexpr bool takes = takes_place<F, index, T>;
    static_assert(takes,
                  "heed: a modifier's scalar function takes (s), (s, i, j) or (s, batch, head, i, "
                  "j), s a float or double, the others heed::index");
    const auto position = whole_positions(j.position);
    alignas(64) auto all = to_array(s);
    for (std::size_t l = 0; l < all.size() && static_cast<index>(l) < j.count; ++l) {
        if constexpr (takes)
            all[l] = static_cast<T>(call_with_place(f.f, row, row.position, position[l], all[l]));
    }
    return vec<T>::load_aligned(all.data());
}

}  // namespace detail

/// The type of heed::modifier(f) and heed::modifier(f, derivative).
template <class F, class Derivative>
class modifier_function : public modifier_base {
  public:
    /// Whether f is told positions.
    template <class T>
    static constexpr bool by_position_of = !detail::takes_score_alone<F, T>;

    modifier_function(F f, Derivative derivative)
        : f_(std::move(f)), derivative_(std::move(derivative)) {}

    template <class T>
    auto on_row(const query_row& i) const {
        return row<T>{f_, derivative_, i};
    }

  private:
    template <class T>
    struct row {
        const F& f;
        const Derivative& df;
        query_row place;

        vec<T> operator()(vec<T> s, const key_lanes<T>& j) const {
            return detail::call_on_scores(f, place, s, j);
        }
        vec<T> derivative(vec<T> s, vec<T>, const key_lanes<T>& j) const
            requires(!std::is_same_v<Derivative, detail::no_derivative>) {
            return detail::call_on_scores(df, place, s, j);
        }
    };

    F f_;
    [[no_unique_address]] Derivative derivative_;
};

/// s becomes f(s), f(s, i, j) or f(s, batch, head, i, j). f is called with s as heed::vec<T>, as
/// many scores as an instruction computes, and i and j as heed::lanes<T>, positions in the lanes
/// of a vector; +, −, *, /, abs, min, max, select, exp, log and tanh of heed work on them. A
/// function that only takes numbers goes in as heed::scalar(f). Without a derivative it serves
/// forward only.
///
///     heed::modifier([](auto s, auto i, auto j) { return s - 0.1f * abs(i - j); })
template <class F>
[[nodiscard]] auto modifier(F&& f) {
    return modifier_function<std::decay_t<F>, detail::no_derivative>(std::forward<F>(f), {});
}

/// The same with ∂f/∂s, which backward needs: a function of the same kinds of arguments.
///
///     heed::modifier([](auto s) { return s * s; }, [](auto s) { return 2 * s; })
template <class F, class Derivative>
[[nodiscard]] auto modifier(F&& f, Derivative&& derivative) {
    return modifier_function<std::decay_t<F>, std::decay_t<Derivative>>(
        std::forward<F>(f), std::forward<Derivative>(derivative));
}

}  // namespace heed::inline HEED_ARCHITECTURE
