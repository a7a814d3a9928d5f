#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/shape.hpp>

/// \file
/// Lists of positions for heed::rotate and heed::positions: those of a grid, and random ones for
/// training that is robust to positions.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Keeps these numbers apart from what else a seed is used for.
inline constexpr int random_positions_stream = 0x706F73;

}  // namespace detail

namespace rope {

/// The positions of a grid's points in row-major order, [product of extents, axes], the last axis
/// fastest: {height, width} for an image, {frames, height, width} for a video.
///
/// Throws shape_error for a grid without an axis, an extent below 0, or points beyond 64 bits.
template <class T = double>
Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> grid_positions(
    const std::vector<heed::detail::any_integral>& extents) {
    heed::detail::require_shape(!extents.empty(), "a grid has [0] axes, but must have one");
    // Of as many bytes as positions have.
    const index most =
        std::numeric_limits<index>::max() / static_cast<index>(sizeof(T) * extents.size());
    index points = 1;
    for (const heed::detail::any_integral& extent : extents) {
        heed::detail::require_shape(extent.value >= 0, "an extent of a grid is ", extent.value,
                                    ", but it must be at least 0");
        heed::detail::require_shape(extent.value == 0 || points <= most / extent.value,
                                    "a grid has more points than fit in 64 bits");
        points *= extent.value;
    }
    const auto axes = static_cast<index>(extents.size());
    Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> result(points, axes);
    for (index i = 0; i < points; ++i) {
        index rest = i;
        for (index a = axes; a-- > 0;) {
            const index extent = extents[static_cast<std::size_t>(a)].value;
            result(i, a) = static_cast<T>(rest % extent);
            rest /= extent;
        }
    }
    return result;
}

/// What heed::rope::random_sorted_positions takes.
struct random_sorted_options {
    heed::detail::any_integral length;    ///< n ≥ 0
    heed::detail::any_integral range;     ///< M ≥ n, the length to be ready for
    std::uint64_t seed = 0;               ///< with `sequence`, which positions they are
    heed::detail::any_bits sequence = 0;  ///< of a batch, or a step of training
};

/// n different whole numbers below M in rising order, every choice of them as likely: training at
/// them prepares a model for sequences of M tokens.
///
///     auto at = heed::rope::random_sorted_positions({.length = n, .range = 8 * n, .seed = 1,
///                                                    .sequence = step});
///     auto o = heed::attention(q, k, v, heed::causal, heed::rotary(rope), heed::positions(at));
///
/// The same on every platform. Throws argument_error unless 0 ≤ length ≤ range < 2⁵² and length <
/// 2³¹. Source: arXiv 2305.16843; kexue 9444.
template <class Set = std::set<index>>
[[nodiscard]] std::vector<double> random_sorted_positions(const random_sorted_options& options) {
    const index n = options.length.value, range = options.range.value;
    heed::detail::require_argument(n >= 0, "length is ", n, ", but it must be at least 0");
    heed::detail::require_argument(n < index(1) << 31, "length is ", n,
                                   ", but it must be below 2^31");
    heed::detail::require_argument(range >= n && range < index(1) << 52, "range is ", range,
                                   ", but it must be at least length, ", n, ", and below 2^52");
    const random_numbers random(options.seed, heed::detail::random_positions_stream,
                                options.sequence.value);
    // Floyd's sampling: one draw a number, whatever the range.
    Set chosen;
    for (index last = range - n; last < range; ++last) {
        const double among = static_cast<double>(last + 1);
        const auto drawn = static_cast<index>(random.uniform(last) * among);
        if (!chosen.insert(drawn).second) chosen.insert(last);
    }
    return {chosen.begin(), chosen.end()};
}

/// What heed::rope::equal_mean_random_positions takes.
struct equal_mean_options {
    heed::detail::any_integral length;    ///< n ≥ 0
    std::uint64_t seed = 0;               ///< with `sequence`, which positions they are
    heed::detail::any_bits sequence = 0;  ///< of a batch, or a step of training
};

/// 0, x, 2x, …, (n − 1)x with one random step x > 0 of mean 1: each position is, on average, what
/// it is without. x is exponential, as the source's best results had it, so that positions reach
/// several times the length; it names a beta distribution as another choice.
///
/// The same on every platform. Throws argument_error for a length below 0 or from 2³¹ on.
/// Source: kexue 9444.
[[nodiscard]] inline std::vector<double> equal_mean_random_positions(
    const equal_mean_options& options) {
    const index n = options.length.value;
    heed::detail::require_argument(n >= 0 && n < index(1) << 31, "length is ", n,
                                   ", but it must lie between 0 and 2^31 - 1");
    const random_numbers random(options.seed, heed::detail::random_positions_stream,
                                options.sequence.value);
    const double step = -heed::detail::portable_log(random.uniform(-1));
    std::vector<double> result(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<double>(i) * step;
    return result;
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
