#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/memory_span.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/projection/kernel/checks.hpp>
#include <heed/projection/kernel/panels.hpp>

/// \file
/// The weights of a projection, left where they lie.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// No bias, or no scales.
struct no_parameter {};

}  // namespace detail

/// What heed::weights makes. Weight, Scales and Bias are kept inputs, see core/view.hpp and
/// core/vector_input.hpp, or no_parameter.
template <class Weight, class Scales, class Bias>
class weights_in_place {
    static constexpr bool is_scaled = !std::is_same_v<Scales, detail::no_parameter>;
    static constexpr bool is_biased = !std::is_same_v<Bias, detail::no_parameter>;

  public:
    using storage = std::remove_const_t<
        std::remove_pointer_t<decltype(std::declval<const Weight&>().view().data)>>;
    using scalar = computed_scalar<storage>;
    static_assert(storage_type<storage>,
                  "heed: weights are float, double, Eigen::bfloat16, Eigen::half, or std::int8_t "
                  "with their scales");

    weights_in_place(Weight weight, Scales scales, Bias bias)
        : weight_(std::move(weight)), scales_(std::move(scales)), bias_(std::move(bias)) {
        detail::check_view("weight", weight_.view());
        const auto shape = matrix().extents;
        if constexpr (is_scaled)
            detail::check_one_an_output("scales", scales_.view().extents[0], shape);
        if constexpr (is_biased)
            detail::check_one_an_output("bias", bias_.view().extents[0], shape);
    }

    index outputs() const { return matrix().extents[0]; }
    index inputs() const { return matrix().extents[1]; }
    static constexpr bool has_bias() noexcept { return is_biased; }

    // For heed's kernels.
    detail::strided_panels<storage> panels() const { return {matrix()}; }
    const scalar* scales(arena& memory) const { return whole_panels(scales_, memory); }
    const scalar* bias(arena& memory) const { return whole_panels(bias_, memory); }
    /// see(name, memory) for each tensor of the caller's: no output may lie there.
    template <class See>
    void inputs_of(const See& see) const {
        see("weight", detail::memory_span(weight_.view()));
        if constexpr (is_scaled) see("scales", detail::memory_span(scales_.view()));
        if constexpr (is_biased) see("bias", detail::memory_span(bias_.view()));
    }

  private:
    tensor_view<const storage, 2> matrix() const { return detail::weight_matrix(weight_.view()); }

    template <class Kept>
    const scalar* whole_panels([[maybe_unused]] const Kept& kept,
                               [[maybe_unused]] arena& memory) const {
        if constexpr (std::is_same_v<Kept, detail::no_parameter>) {
            return nullptr;
        } else {
            const auto from = kept.view();
            const index padded = detail::round_up(outputs(), detail::panel_width<scalar>);
            scalar* const to = memory.take<scalar>(padded);
            for (index o = 0; o < padded; ++o)
                to[o] = o < outputs() ? static_cast<scalar>(from(o)) : scalar(0);
            return to;
        }
    }

    Weight weight_;
    Scales scales_;
    Bias bias_;
};

/// Weights W [outputs, inputs], and perhaps a bias [outputs], for heed::project, which reads them
/// where they lie:
///
///     auto y = heed::project(x, heed::weights(weight, bias));
///
/// The same bits as of packed_weights of the same numbers, without the time and the memory of a
/// copy. For weights that change from call to call, as in training; one row takes longer than of
/// packed weights, least if the inputs or the outputs lie side by side. What is given as an lvalue
/// is seen, a temporary object is kept. float, double, Eigen::bfloat16, Eigen::half.
///
/// Throws shape_error for impossible shapes and a bias that is not one for each output. O(1).
template <tensor_like Weight>
[[nodiscard]] auto weights(Weight&& weight) {
    static_assert(!std::is_same_v<scalar_of<Weight>, std::int8_t>,
                  "heed: integers have scales: heed::weights(integers, scales)");
    auto kept = detail::keep(std::forward<Weight>(weight));
    return weights_in_place<decltype(kept), detail::no_parameter, detail::no_parameter>(
        std::move(kept), {}, {});
}

template <tensor_like Weight, detail::vector_like Bias>
requires(!std::is_same_v<scalar_of<Weight>, std::int8_t>)
    [[nodiscard]] auto weights(Weight&& weight, Bias&& bias) {
    auto kept = detail::keep(std::forward<Weight>(weight));
    auto kept_bias = detail::keep_vector("bias", std::forward<Bias>(bias));
    return weights_in_place<decltype(kept), detail::no_parameter, decltype(kept_bias)>(
        std::move(kept), {}, std::move(kept_bias));
}

/// Integers of 8 bits and the scale of each row: w = q·s.
template <tensor_like Weight, detail::vector_like Scales>
requires std::is_same_v<scalar_of<Weight>, std::int8_t>
[[nodiscard]] auto weights(Weight&& weight, Scales&& scales) {
    auto kept = detail::keep(std::forward<Weight>(weight));
    auto kept_scales = detail::keep_vector("scales", std::forward<Scales>(scales));
    return weights_in_place<decltype(kept), decltype(kept_scales), detail::no_parameter>(
        std::move(kept), std::move(kept_scales), {});
}
template <tensor_like Weight, detail::vector_like Scales, detail::vector_like Bias>
requires std::is_same_v<scalar_of<Weight>, std::int8_t>
[[nodiscard]] auto weights(Weight&& weight, Scales&& scales, Bias&& bias) {
    auto kept = detail::keep(std::forward<Weight>(weight));
    auto kept_scales = detail::keep_vector("scales", std::forward<Scales>(scales));
    auto kept_bias = detail::keep_vector("bias", std::forward<Bias>(bias));
    return weights_in_place<decltype(kept), decltype(kept_scales), decltype(kept_bias)>(
        std::move(kept), std::move(kept_scales), std::move(kept_bias));
}

}  // namespace heed::inline HEED_ARCHITECTURE
