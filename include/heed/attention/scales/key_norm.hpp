#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/scales/log_n_scale.hpp>
#include <heed/attention/scales/scale.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Scores of l2-normalised keys, queries, or both: c·(q·k)/‖k‖, c·(q·k)/‖q‖, c·cos(q, k).

namespace heed::inline HEED_ARCHITECTURE {

/// A scale that first l2-normalises q or k; its c is another scale's.
template <class Scale, bool Query, bool Key>
class normalised_scale : public Scale {
  public:
    static constexpr bool normalises_query = Query;
    static constexpr bool normalises_key = Key;

    constexpr explicit normalised_scale(Scale scale) : Scale(std::move(scale)) {}
};

namespace detail {

/// c_i = factor·log n_i: without the 1/√d of log_n_scale, since a unit vector's products with
/// another do not grow with d as those of two vectors do.
class plain_log_n_scale : public scale_base {
  public:
    static constexpr bool needs_visible_count = true;

    explicit plain_log_n_scale(double factor) : factor_(factor) {}

    double on_row(const query_row&, const attention_shape&, index visible) const {
        return factor_ * log_of_count(visible);
    }

  private:
    double factor_;
};

/// The same where the factor, κ, can be learned.
class plain_kappa_scale : public plain_log_n_scale, public learnable_kappa {
  public:
    using plain_log_n_scale::plain_log_n_scale;

    double derivative(const attention_shape&, index visible) const { return log_of_count(visible); }
};

}  // namespace detail

/// The types of heed::key_norm, heed::query_norm and heed::cosine: c = 1, and other choices of c.
template <bool Query, bool Key>
class unit_norm : public normalised_scale<constant_scale, Query, Key> {
    template <class Scale>
    using normalised = normalised_scale<Scale, Query, Key>;

  public:
    constexpr unit_norm() : normalised<constant_scale>(constant_scale(1)) {}

    /// The same c for every query, or a vector with one for each query head; it can be learned.
    template <class Factor>
    [[nodiscard]] auto scale(Factor&& factor) const {
        auto chosen = heed::scale(std::forward<Factor>(factor));
        return normalised<decltype(chosen)>(std::move(chosen));
    }

    /// c_i = log_base n_i, n_i the number of keys that query i sees.
    [[nodiscard]] auto log_n(double base) const {
        const double log_base = detail::log_of_base("log_n: the base", base);
        return normalised<detail::plain_log_n_scale>(detail::plain_log_n_scale(1 / log_base));
    }

    /// c_i = κ·log n_i; κ can be learned.
    [[nodiscard]] auto log_n_kappa(double kappa) const {
        return normalised<detail::plain_kappa_scale>(
            detail::plain_kappa_scale(detail::finite_factor("log_n_kappa: kappa", kappa)));
    }
};

/// c·(q·k)/‖k‖ (kexue 9859): c = 1; heed::key_norm.scale(c), .log_n(base), .log_n_kappa(κ).
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::key_norm);
inline constexpr unit_norm<false, true> key_norm{};

/// c·(q·k)/‖q‖ (kexue 9859), c as for heed::key_norm.
inline constexpr unit_norm<true, false> query_norm{};

/// c·(q·k)/(‖q‖·‖k‖) (arXiv 2010.04245, kexue 9859). c = 1 is nearly flat: heed::cosine.scale(4·log
/// n), n the length of training, or heed::cosine.log_n_kappa(4).
inline constexpr unit_norm<true, true> cosine{};

}  // namespace heed::inline HEED_ARCHITECTURE
