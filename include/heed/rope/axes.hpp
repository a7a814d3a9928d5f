#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>
#include <heed/rope/frequencies.hpp>

/// \file
/// Frequencies for positions of several numbers: rows and columns of an image, time too in a video.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// Frequencies along several axes: a row at position (p₀, p₁, …) has pair t turned by the angle
/// Σ_a p_a·θ_{a,t}. heed::rope::axial, sections and interleaved_sections make them such that each
/// pair turns along one axis only.
class axial_frequencies {
  public:
    /// One list an axis, of one angle a pair. Throws shape_error without an axis or a pair, or
    /// where lists differ in length; argument_error for a number that is not finite.
    explicit axial_frequencies(const std::vector<std::vector<double>>& angular,
                               pair_layout layout = halves, double attention_factor = 1)
        : axes_(static_cast<index>(angular.size())), layout_(layout), factor_(attention_factor) {
        heed::detail::require_shape(axes_ > 0, "axial frequencies have [0] axes, but need one");
        for (const std::vector<double>& axis : angular) {
            heed::detail::require_shape(axis.size() == angular.front().size(), "an axis has ",
                                        axis.size(), " frequencies, but the first one ",
                                        angular.front().size());
            const frequencies checked(axis, layout, attention_factor);
            for (const double theta : axis) angular_.push_back(theta);
        }
    }

    /// r, twice the number of pairs. Dimensions from r on are left alone.
    index dim() const { return 2 * pairs(); }
    index pairs() const { return static_cast<index>(angular_.size()) / axes_; }
    /// How many numbers a position is.
    index axes() const { return axes_; }
    /// The angles, [axes, pairs].
    const std::vector<double>& angular() const& { return angular_; }
    std::vector<double> angular() && { return std::move(angular_); }
    pair_layout layout() const { return layout_; }
    double attention_factor() const { return factor_; }

  private:
    index axes_;
    std::vector<double> angular_;
    pair_layout layout_;
    double factor_;
};

}  // namespace rope

namespace detail {

/// Pair t turns as `ladder` says, along axis_of(t).
template <class AxisOf>
rope::axial_frequencies along_axes(const rope::frequencies& ladder, std::size_t axes,
                                   AxisOf axis_of) {
    const std::size_t pairs = ladder.angular().size();
    std::vector<std::vector<double>> angular(axes, std::vector<double>(pairs, 0.0));
    for (std::size_t t = 0; t < pairs; ++t) angular[axis_of(t)][t] = ladder.angular()[t];
    return rope::axial_frequencies(angular, ladder.layout(), ladder.attention_factor());
}

/// The sizes of sections, which must add up to the pairs.
inline std::vector<std::size_t> checked_sections(const rope::frequencies& ladder,
                                                 const std::vector<any_integral>& sections) {
    std::vector<std::size_t> sizes;
    index sum = 0;
    for (const any_integral& section : sections) {
        require_argument(section.value >= 0, "a section is ", section.value,
                         ", but it must be at least 0");
        sizes.push_back(static_cast<std::size_t>(section.value));
        sum += std::min(section.value, std::numeric_limits<index>::max() - sum);
    }
    require_shape(!sizes.empty() && sum == ladder.pairs(), "sections have ", sum,
                  " pairs, but the frequencies turn ", ladder.pairs());
    return sizes;
}

}  // namespace detail

namespace rope {

/// What heed::rope::axial takes.
struct axial_options {
    std::vector<heed::detail::any_integral> dims;  ///< one an axis: even, and at least 2
    heed::detail::any_real base = 10000;           ///< b > 1
    pair_layout layout = pair_layout::halves;
};

/// A full ladder an axis: axis a turns the next dims[a]/2 pairs, by b^{−2t/dims[a]}.
///
///     auto rope = heed::rope::axial({.dims = {32, 32}});   // rows and columns of an image
///
/// r is the sum of dims, and halves pair x_t with x_{t+r/2}, as vision towers have it. Throws
/// shape_error without an axis, argument_error for an odd dim, one below 2, and a base that is not
/// above 1. Source: kexue 8397.
[[nodiscard]] inline axial_frequencies axial(const axial_options& options) {
    std::vector<double> all;
    std::vector<std::size_t> axis;
    for (std::size_t a = 0; a < options.dims.size(); ++a) {
        for (const double theta : heed::detail::ladder(options.dims[a].value, options.base.value)) {
            all.push_back(theta);
            axis.push_back(a);
        }
    }
    heed::detail::require_shape(!all.empty(), "dims are [0], but there must be an axis");
    return heed::detail::along_axes(frequencies(std::move(all), options.layout),
                                    options.dims.size(), [&](std::size_t t) { return axis[t]; });
}

/// One ladder cut into bands: the first sections[0] pairs turn along axis 0, the next sections[1]
/// along axis 1, and so on. Where all numbers of a position are equal, it is `ladder` itself.
///
///     auto rope = heed::rope::sections(heed::rope::plain({.dim = 128}), {16, 24, 24});
///
/// Throws shape_error unless sections add up to the pairs, argument_error for one below 0. Source:
/// M-RoPE, arXiv 2409.12191; mrope_section in transformers.
[[nodiscard]] inline axial_frequencies sections(
    const frequencies& ladder, const std::vector<heed::detail::any_integral>& sections) {
    const auto sizes = heed::detail::checked_sections(ladder, sections);
    return heed::detail::along_axes(ladder, sizes.size(), [&](std::size_t t) {
        std::size_t axis = 0;
        for (std::size_t end = sizes[0]; t >= end; end += sizes[axis]) ++axis;
        return axis;
    });
}

/// One ladder dealt out to the axes in turn: of A axes, axis a > 0 has its sections[a] pairs at
/// a, a + A, a + 2A, …, and axis 0 all that are left.
///
///     auto rope = heed::rope::interleaved_sections(heed::rope::plain({.dim = 128}), {24, 20, 20});
///
/// Throws as heed::rope::sections does, and shape_error where a section does not fit. Source:
/// Qwen3-VL's mrope_interleaved in transformers.
[[nodiscard]] inline axial_frequencies interleaved_sections(
    const frequencies& ladder, const std::vector<heed::detail::any_integral>& sections) {
    const auto sizes = heed::detail::checked_sections(ladder, sections);
    const std::size_t axes = sizes.size(), pairs = ladder.angular().size();
    for (std::size_t a = 1; a < axes; ++a)
        heed::detail::require_shape(sizes[a] == 0 || a + (sizes[a] - 1) * axes < pairs, "section ",
                                    a, " has ", sizes[a], " pairs, but of ", pairs,
                                    " pairs in turn it has fewer");
    return heed::detail::along_axes(ladder, axes, [&](std::size_t t) {
        return t / axes < sizes[t % axes] ? t % axes : std::size_t{0};
    });
}

}  // namespace rope
}  // namespace heed::inline HEED_ARCHITECTURE
