#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// How fast each pair of dimensions turns: the frequencies of a rotary position encoding, as a
/// value that is rotated with alone (heed::rotate) or inside attention (heed::rotary).

namespace heed::inline HEED_ARCHITECTURE {

/// Rotary position encodings; r is the number of rotated dimensions, the first r of a row.
namespace rope {

/// Which two dimensions are pair t = 0 … r/2 − 1.
enum class pair_layout {
    halves,      ///< x_t and x_{t+r/2}, as most of transformers' models have it
    interleaved  ///< x_{2t} and x_{2t+1}, as the original and Llama in GGUF have it
};
/// x_t and x_{t+r/2} are a pair.
inline constexpr pair_layout halves = pair_layout::halves;
/// x_{2t} and x_{2t+1} are a pair.
inline constexpr pair_layout interleaved = pair_layout::interleaved;

/// The angle by which each pair turns from one position to the next, in radians, and how pairs lie
/// in a row. A row at position p has pair t turned by the angle p·angular()[t].
class frequencies {
  public:
    /// One angle a pair; `attention_factor` multiplies what has been rotated (YaRN's: q and k both,
    /// so that scores bear its square). Throws argument_error for a number that is not finite, and
    /// shape_error without any angle.
    explicit frequencies(std::vector<double> angular, pair_layout layout = halves,
                         double attention_factor = 1)
        : angular_(std::move(angular)), layout_(layout), attention_factor_(attention_factor) {
        heed::detail::require_shape(!angular_.empty(),
                                    "frequencies are [0], but at least one pair must turn");
        for (double angle : angular_)
            heed::detail::require_argument(std::isfinite(angle), "a frequency is ", angle,
                                           ", but it must be finite");
        heed::detail::require_argument(std::isfinite(attention_factor), "attention_factor is ",
                                       attention_factor, ", but it must be finite");
    }

    /// r, twice the number of pairs. Dimensions from r on are left alone.
    index dim() const { return 2 * pairs(); }
    index pairs() const { return static_cast<index>(angular_.size()); }
    /// How many numbers a position is: heed::rope::axial_frequencies are for several.
    static constexpr index axes() { return 1; }
    const std::vector<double>& angular() const& { return angular_; }
    std::vector<double> angular() && { return std::move(angular_); }
    pair_layout layout() const { return layout_; }
    double attention_factor() const { return attention_factor_; }

  private:
    std::vector<double> angular_;
    pair_layout layout_;
    double attention_factor_;
};

}  // namespace rope

namespace detail {

/// A number of whatever type the caller has: an int for a double in braces is an error otherwise.
struct any_real {
    double value = 0;

    template <class Number>
    requires std::is_arithmetic_v<Number>
    constexpr any_real(Number number) : value(static_cast<double>(number)) {}  // NOLINT
};

/// What is often written for heed::rope::plain's options: a checkpoint's options have head_dim.
struct options_by_head_dim {
    any_integral head_dim;
    any_real base = 0;
    rope::pair_layout layout = rope::halves;
};

/// b^{−2t/r} for t = 0 … r/2 − 1, after the checks of r and b: what every variant begins with.
inline std::vector<double> ladder(index dim, double base) {
    require_argument(dim >= 2 && dim % 2 == 0, "dim is ", dim,
                     ", but it must be even and at least 2");
    require_argument(dim <= 1 << 24, "dim is ", dim, ", but it must be at most 2^24");
    require_argument(base > 1 && std::isfinite(base), "base is ", base,
                     ", but it must be finite and greater than 1");
    std::vector<double> angular(static_cast<std::size_t>(dim / 2));
    for (std::size_t t = 0; t < angular.size(); ++t)
        angular[t] = std::pow(base, -2.0 * static_cast<double>(t) / static_cast<double>(dim));
    return angular;
}

}  // namespace detail

namespace rope {

/// What heed::rope::plain takes.
struct plain_options {
    heed::detail::any_integral dim;       ///< r: even, and at least 2
    heed::detail::any_real base = 10000;  ///< b > 1
    pair_layout layout = pair_layout::halves;
};

/// The frequencies of the original, θ_t = b^{−2t/r} for t = 0 … r/2 − 1:
///
///     auto rope = heed::rope::plain({.dim = 64, .base = 10000, .layout =
///     heed::rope::interleaved});
///
/// A dim smaller than the rows' rotates their first dimensions. Throws argument_error for an odd
/// dim, one below 2, and a base that is not above 1. Source: arXiv 2104.09864; kexue 8265.
[[nodiscard]] inline frequencies plain(const plain_options& options) {
    return frequencies(heed::detail::ladder(options.dim.value, options.base.value), options.layout);
}

/// plain({.head_dim = 64}) stops the compilation with one sentence.
template <class Options = heed::detail::options_by_head_dim>
[[nodiscard]] frequencies plain(const std::type_identity_t<Options>&) {
    static_assert(
        sizeof(Options) == 0,
        "heed: rope::plain has no option head_dim: say .dim, the number of dimensions that "
        "turn");
    return frequencies({0});
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
