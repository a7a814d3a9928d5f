#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <tuple>
#include <type_traits>
#include <utility>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/attention/kernel/call/roles_of_call.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/length.hpp>
#include <heed/core/math.hpp>
#include <heed/core/overlap.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/view.hpp>

/// \file
/// What observers are: measures of each row of an attention, taken inside the kernel from sums over
/// the row's probabilities.

namespace heed::inline HEED_ARCHITECTURE {

/// Sums over the probabilities of one row. They add up to less than 1 beside a sink, and to
/// anything where a normaliser takes each score for itself.
struct row_sums {
    double p = 0;        ///< Σp
    double square = 0;   ///< Σp²
    double p_log_p = 0;  ///< Σ p·log p, natural
    index visible = 0;   ///< keys that the row sees
    double length = 0;   ///< √Σp², a number where p² is beyond double's
};

/// An observer with memory of its own, [batch, heads, queries]: what `observer.into(numbers)`
/// returns.
template <class Observer, class T>
struct observing : detail::part_base<role::observer> {
    static constexpr bool needs_visible_count = true;

    Observer observer;
    tensor_view<T, 3> numbers;

    void check(const attention_shape& shape) const {
        constexpr const char* name = "the memory of an observer";
        const std::array<index, 3> rows{shape.batch, shape.heads, shape.queries};
        detail::check_view(name, numbers);
        detail::require_shape(numbers.extents == rows, name, " has shape ", numbers.extents,
                              ", but must have ", rows);
    }
};

/// The base of an observer, which has `double measure(const row_sums&) const`. To write a new one,
/// copy row_entropy.
template <class Observer>
struct row_observer : detail::part_base<role::observer> {
    /// The same, writing to the caller's tensor [batch, heads, queries], for attention_into and
    /// attention_forward_into.
    template <tensor_like Numbers>
    [[nodiscard]] auto into(Numbers&& numbers) const {
        static_assert(rank_of<Numbers> == 3,
                      "heed: an observer writes to a tensor [batch, heads, queries]");
        return observing<Observer, scalar_of<Numbers>>{
            {},
            static_cast<const Observer&>(*this),
            detail::view_of(std::forward<Numbers>(numbers))};
    }
};

namespace detail {

template <class P>
inline constexpr bool is_bound_observer = false;
template <class Observer, class T>
inline constexpr bool is_bound_observer<observing<Observer, T>> = true;
/// The memory of a bound observer, as a tuple.
template <class P>
auto observed_memory(const P& part) {
    if constexpr (is_bound_observer<P>)
        return std::make_tuple(part.numbers);
    else
        return std::tuple<>();
}

template <class P>
inline constexpr bool is_unbound_observer = part_of<P, role::observer> && !is_bound_observer<P>;
/// An observer without memory that may be chosen: where its numbers go would be a type.
template <class P>
inline constexpr bool is_chosen_observer = is_choice<P>&& alternatives<P>::any([]<class A>() {
    return is_unbound_observer<A>;
});

/// The running sums of the rows of a tile.
template <class T>
class observed_rows {
  public:
    observed_rows(index count, arena& scratch) : count_(count), sums_(scratch.take<sums>(count)) {
        reset();
    }
    void reset() { std::fill_n(sums_, static_cast<std::size_t>(count_), sums{}); }

    /// Scores of row r become weights, which are seen; where the stream knows their logarithms, for
    /// the cost of two multiply-adds.
    template <class Stream, class Rows>
    void weigh(const Stream& stream, const Rows& rows, index r, T* row, index first, index last) {
        vector_sums seen;
        const auto watch = [&](vec<T> w, vec<T> exponent) { seen.add(w, exponent); };
        if constexpr (requires { stream.weigh(rows, r, row, first, last, watch); }) {
            stream.weigh(rows, r, row, first, last, watch);
            add(r, rows.factor[r], seen, std::numbers::ln2, row + first, last - first);
        } else {
            stream.weigh(rows, r, row, first, last);
            add(r, rows.factor[r], row, first, last);
        }
    }

    /// Weights w[first … last) of row r, a whole number of vectors; what was summed before them
    /// shrinks by `factor`.
    void add(index r, T factor, const T* w, index first, index last) {
        vector_sums seen;
        for (index j = first; j < last; j += vec<T>::size) {
            const vec<T> x = vec<T>::load(w + j);
            seen.add(x, log(x));
        }
        add(r, factor, seen, 1, w + first, last - first);
    }

    /// The sums of row r, its weights times `factor` being its probabilities.
    row_sums finish(index r, T factor, index visible) const {
        const double f = static_cast<double>(factor);
        const auto& [p, length, p_log_p] = sums_[r];
        const double by_log = f == 0 ? 0 : f * std::log(f) * p;
        const double own_length = f * length;
        return {f * p, own_length * own_length, f * p_log_p + by_log, visible, own_length};
    }

  private:
    struct sums {
        double p = 0, length = 0, p_log_p = 0;
    };
    struct vector_sums {
        vec<T> p{T(0)}, square{T(0)}, p_log_p{T(0)};

        [[gnu::always_inline]] void add(vec<T> w, vec<T> logarithm) {
            p += w;
            square = fma(w, w, square);
            // 0·log 0 is 0.
            const vec<T> zero(T(0));
            p_log_p = fma(w, select(w == zero, zero, logarithm), p_log_p);
        }
    };

    /// What was seen of the weights w[0 … count); `unit` is the natural logarithm of the base of
    /// their logarithms.
    void add(index r, T factor, const vector_sums& seen, double unit, const T* w, index count) {
        // Σ fw·log(fw) = f·Σ w·log w + f·log f·Σw
        sums& so_far = sums_[r];
        const double f = static_cast<double>(factor);
        const double by_log = f == 0 || f == 1 ? 0 : f * std::log(f) * so_far.p;
        so_far.p_log_p =
            f * so_far.p_log_p + by_log + unit * static_cast<double>(reduce_add(seen.p_log_p));
        const auto p = static_cast<double>(reduce_add(seen.p));
        so_far.p = f * so_far.p + p;
        so_far.length *= f;
        if (p != 0) so_far.length = with_weights(so_far.length, seen, w, count);
    }

    /// √(length² + Σw²). Squares that a scalar cannot hold, those of a row whose sink takes almost
    /// all, are formed again, unless they do not count beside what came before.
    static double with_weights(double length, const vector_sums& seen, const T* w, index count) {
        const double square =
            std::fma(length, length, static_cast<double>(reduce_add(seen.square)));
        if (is_exact_square_sum<T>(square)) return std::sqrt(square);
        const auto [scale, scaled] = scaled_length_of(w, count);
        return std::hypot(length, static_cast<double>(scaled) / static_cast<double>(scale));
    }

    index count_;
    sums* sums_;
};

/// A tensor [batch, heads, queries] for each observer that has no memory yet, as a tuple.
template <class T, class P>
auto make_observed(const P&, const attention_shape& shape) {
    if constexpr (is_unbound_observer<P>)
        return std::make_tuple(
            Eigen::Tensor<T, 3, Eigen::RowMajor>(shape.batch, shape.heads, shape.queries));
    else
        return std::tuple<>();
}

/// How many of the parts before the K-th are observers without memory.
template <std::size_t K, class... Parts>
constexpr std::size_t observers_before() {
    constexpr std::array<bool, sizeof...(Parts) + 1> is{is_unbound_observer<Parts>..., false};
    std::size_t before = 0;
    for (std::size_t i = 0; i < K; ++i) before += is[i] ? 1U : 0U;
    return before;
}

/// f(parts…) with every observer bound to its tensor of `observed`.
template <class F, class Observed, class... Parts>
void with_bound_observers(F&& f, Observed& observed, const Parts&... parts) {
    const std::tuple<const Parts&...> all(parts...);
    const auto bind = [&]<std::size_t K>() -> decltype(auto) {
        using part = std::tuple_element_t<K, std::tuple<Parts...>>;
        if constexpr (is_unbound_observer<part>)
            return std::get<K>(all).into(std::get<observers_before<K, Parts...>()>(observed));
        else
            return std::get<K>(all);
    };
    [&]<std::size_t... K>(std::index_sequence<K...>) { f(bind.template operator()<K>()...); }
    (std::index_sequence_for<Parts...>{});
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
