#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/attention/position_encoding.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/error.hpp>
#include <heed/core/math.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/rope/detail/turn_table.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/rotary.hpp>

/// \file
/// XPOS: rotary positions whose scores decay with the distance.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// The part that heed::xpos makes: rotary positions with lengths in the tables.
template <class Frequencies>
struct xpos_part : position_encoding_base {
    Frequencies frequencies;
    std::vector<double> log_decays;  ///< log ξ_t, one a pair
    double origin;

    xpos_part(Frequencies&& of, std::vector<double> decays, double from)
        : frequencies(std::forward<Frequencies>(of)), log_decays(std::move(decays)), origin(from) {}

    void check(const attention_shape& shape) const {
        require_shape(frequencies.dim() <= shape.dim, "the frequencies rotate ", frequencies.dim(),
                      " dimensions, but q and k have ", shape.dim);
    }

    /// Fills the tables: (queries + keys)·r numbers.
    template <class T>
    rotary_rows<T> prepare(arena& scratch, const attention_shape& shape,
                           const call_positions& where) const {
        const padded_frequencies<T> padded(scratch, frequencies);
        double* logs = scratch.take<double>(padded.padded);
        std::copy(log_decays.begin(), log_decays.end(), logs);
        std::fill(logs + padded.pairs, logs + padded.padded, 0.0);

        const index row_size = padded.row_size();
        const auto fill = [&](index count, bool differ, double sign, auto position) {
            const index batches = differ ? shape.batch : 1;
            T* table = scratch.take<T>(batches * count * row_size);
            T* row = table;
            for (index b = 0; b < batches; ++b) {
                for (index i = 0; i < count; ++i, row += row_size) {
                    const double at = position(b, i);
                    padded.fill_row(at, row);
                    stretch(row, padded.padded, logs, sign * (at - origin));
                }
            }
            return typename rotary_rows<T>::side{table, differ ? count * row_size : 0};
        };
        const auto queries = fill(shape.queries, where.queries_differ(), 1,
                                  [&](index b, index i) { return where.query(shape, b, i); });
        const auto keys = fill(shape.keys, where.per_batch, -1,
                               [&](index b, index j) { return where.key(shape, b, j); });
        return {queries, keys, padded.pairs, padded.padded, frequencies.layout()};
    }

  private:
    /// Cosines and sines times ξ_t^distance.
    template <class T>
    static void stretch(T* row, index padded, const double* logs, double distance) {
        constexpr index size = vec<double>::size;
        std::array<double, static_cast<std::size_t>(size)> lengths;
        for (index t = 0; t < padded; t += size) {
            exp(vec<double>::load(logs + t) * vec<double>(distance)).store(lengths.data());
            for (index l = 0; l < size; ++l) {
                const double length = lengths[static_cast<std::size_t>(l)];
                for (T* x : {row + t + l, row + padded + t + l})
                    *x = static_cast<T>(static_cast<double>(*x) * length);
            }
        }
    }
};

template <class Frequencies>
auto make_xpos(Frequencies&& frequencies, std::vector<double> decays, double origin) {
    require_argument(std::isfinite(origin), "heed::xpos: the origin is ", origin,
                     ", but must be finite");
    require_shape(static_cast<index>(decays.size()) == frequencies.pairs(), "heed::xpos has ",
                  decays.size(), " decays, but the frequencies turn ", frequencies.pairs(),
                  " pairs");
    for (double& decay : decays) {
        require_argument(decay > 0 && decay <= 1, "heed::xpos: a decay is ", decay,
                         ", but must be above 0 and at most 1");
        decay = std::log(decay);
    }
    using kept = std::conditional_t<std::is_lvalue_reference_v<Frequencies>,
                                    const rope::frequencies&, rope::frequencies>;
    return xpos_part<kept>(std::forward<Frequencies>(frequencies), std::move(decays), origin);
}

}  // namespace detail

/// A part: rotary positions beside which pair t of q_i is multiplied by ξ_t^i and that of k_j by
/// ξ_t^−j, so that the pair's share of a score is ξ_t^(i−j) times that of heed::rotary (arXiv
/// 2212.10554, kexue 9431). A decay ξ in (0, 1] is a number for all pairs, or any vector of one a
/// pair, such as heed::xpos_decays(r).
///
///     auto o = heed::attention(q, k, v, heed::causal, heed::xpos(rope, heed::xpos_decays(64)));
///
/// It is for causal attention: ahead of a query the power grows. Powers are taken of the distance
/// to `origin`, which changes no score, but in float ξ^±distance must stay within 1e±38: set it
/// amid the positions of very long sequences.
///
/// argument_error if a decay is not in (0, 1], or the origin not finite; shape_error if there is
/// not one decay a pair. All else as for heed::rotary.
template <class Frequencies, class Decay>
requires(std::same_as<std::remove_cvref_t<Frequencies>, rope::frequencies>&&
             std::is_arithmetic_v<Decay>) auto xpos(Frequencies&& frequencies, Decay decay,
                                                    double origin = 0) {
    std::vector<double> all(static_cast<std::size_t>(frequencies.pairs()),
                            static_cast<double>(decay));
    return detail::make_xpos(std::forward<Frequencies>(frequencies), std::move(all), origin);
}
template <class Frequencies, detail::vector_like Decays>
requires std::same_as<std::remove_cvref_t<Frequencies>, rope::frequencies>
[[nodiscard]] auto xpos(Frequencies&& frequencies, const Decays& decays, double origin = 0) {
    const auto given = detail::checked_vector("heed::xpos", decays);
    std::vector<double> all;
    for (index t = 0; t < given.extents[0]; ++t) all.push_back(static_cast<double>(given(t)));
    return detail::make_xpos(std::forward<Frequencies>(frequencies), std::move(all), origin);
}

/// The decays of XPOS for r dimensions: ξ_t = ((2t/r + γ)/(1 + γ))^(1/base), t = 0 … r/2 − 1; fast
/// pairs decay faster.
///
/// argument_error for an odd r, one below 2 or beyond 2²⁴, γ not above 0, and a base not above 0.
template <std::integral Dim>
[[nodiscard]] std::vector<double> xpos_decays(Dim r, double gamma = 0.4, double base = 512) {
    detail::require_argument(
        std::cmp_greater_equal(r, 2) && r % 2 == 0 && std::cmp_less_equal(r, 1 << 24),
        "heed::xpos_decays: the number of dimensions is ", r,
        ", but must be even, at least 2 and at most 2^24");
    detail::require_argument(gamma > 0 && std::isfinite(gamma), "heed::xpos_decays: gamma is ",
                             gamma, ", but must be above 0 and finite");
    detail::require_argument(base > 0 && std::isfinite(base), "heed::xpos_decays: base is ", base,
                             ", but must be above 0 and finite");
    std::vector<double> decays;
    for (Dim t = 0; t < r; t += 2)
        decays.push_back(std::pow(
            (static_cast<double>(t) / static_cast<double>(r) + gamma) / (1 + gamma), 1 / base));
    return decays;
}

}  // namespace heed::inline HEED_ARCHITECTURE
