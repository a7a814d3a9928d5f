#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/blocks.hpp>
#include <heed/core/error.hpp>
#include <heed/core/storage.hpp>
#include <heed/core/vector_input.hpp>
#include <heed/core/view.hpp>
#include <heed/projection/kernel/checks.hpp>
#include <heed/projection/kernel/panels.hpp>

/// \file
/// The weights of a projection, packed once for all calls.

namespace heed::inline HEED_ARCHITECTURE {

/// Weights W [outputs, inputs], as checkpoints have them, and perhaps a bias [outputs], copied into
/// the order in which heed::project reads them.
///
///     const heed::packed_weights<float> w(weight, bias);            // any Eigen object,
///     heed::view const heed::packed_weights<Eigen::bfloat16> half_of_it(weight, bias); const
///     heed::packed_weights<std::int8_t> quarter(weight, bias);      // a scale a row auto y =
///     heed::project(x, w);
///
/// Storage is float, double, Eigen::bfloat16, Eigen::half or std::int8_t. Numbers of 16 bits are
/// the nearest to the given floats, ties to even, and are computed with as the floats that they
/// are. Integers are q = w·127/max|w| of each row, rounded to nearest, ties to even, and stand for
/// q·s, s = max|w|/127 in float; or they are given with their scales:
///
///     const heed::packed_weights<std::int8_t> w(integers, scales);        // or (…, scales, bias)
///
/// An immutable value: copies share the memory, which lies on huge pages where the system has them.
/// The storage's size times outputs·inputs, rounded up to whole panels of heed::vec.
///
/// Throws shape_error for impossible shapes, a bias or scales that are not one for each output;
/// argument_error for weights that are to be rounded to integers and are not finite.
/// O(outputs·inputs), on the calling thread.
template <class Storage>
class packed_weights {
    static_assert(storage_type<Storage>,
                  "heed: weights are stored as float, double, Eigen::bfloat16, Eigen::half or "
                  "std::int8_t");
    static constexpr bool is_scaled = detail::stored_as<Storage>::has_scales;

  public:
    using storage = Storage;
    /// What x and y are made of: double for packed_weights<double>, float for all others.
    using scalar = computed_scalar<Storage>;

    template <tensor_like Weight>
    requires(!is_scaled || !std::is_same_v<scalar_of<Weight>, std::int8_t>) explicit packed_weights(
        const Weight& weight)
        : packed_weights(weight, no_vector{}, nullptr) {}
    template <tensor_like Weight, detail::vector_like Bias>
    requires(!is_scaled || !std::is_same_v<scalar_of<Weight>, std::int8_t>)
        packed_weights(const Weight& weight, const Bias& bias)
        : packed_weights(weight, bias, nullptr) {}

    /// Integers and their scales.
    template <tensor_like Weight, detail::vector_like Scales>
    requires(is_scaled&& std::is_same_v<scalar_of<Weight>, std::int8_t>)
        packed_weights(const Weight& weight, const Scales& scales)
        : packed_weights(weight, scales, no_vector{}, nullptr) {}
    template <tensor_like Weight, detail::vector_like Scales, detail::vector_like Bias>
    requires(is_scaled&& std::is_same_v<scalar_of<Weight>, std::int8_t>)
        packed_weights(const Weight& weight, const Scales& scales, const Bias& bias)
        : packed_weights(weight, scales, bias, nullptr) {}

    index outputs() const noexcept { return outputs_; }
    index inputs() const noexcept { return inputs_; }
    bool has_bias() const noexcept { return bias_ != nullptr; }
    /// Bytes of memory that all copies share.
    std::size_t bytes() const noexcept { return memory_->capacity(); }

    // For heed's kernels.
    detail::packed_panels<Storage> panels() const noexcept { return {panels_, outputs_, inputs_}; }
    const scalar* scales(arena&) const noexcept { return scales_; }
    const scalar* bias(arena&) const noexcept { return bias_; }
    template <class See>
    void inputs_of(const See&) const {}  // nobody else knows its memory

  private:
    struct no_vector {};

    template <class Weight, class Bias>
    packed_weights(const Weight& weight, const Bias& bias, std::nullptr_t) {
        const auto held = detail::evaluate("weight", weight);
        const auto matrix = detail::weight_matrix(held.view());
        check_vector("bias", bias, matrix.extents);
        take_memory(matrix.extents, !std::is_same_v<Bias, no_vector>);
        if constexpr (is_scaled) {
            round_to_integers(matrix);
        } else {
            pack([&](index o, index k) { return detail::narrow<Storage>(matrix(o, k)); });
        }
        copy_vector(bias, bias_);
    }

    template <class Weight, class Scales, class Bias>
    packed_weights(const Weight& weight, const Scales& scales, const Bias& bias, std::nullptr_t) {
        const auto held = detail::evaluate("weight", weight);
        const auto matrix = detail::weight_matrix(held.view());
        check_vector("scales", scales, matrix.extents);
        check_vector("bias", bias, matrix.extents);
        take_memory(matrix.extents, !std::is_same_v<Bias, no_vector>);
        pack([&](index o, index k) { return matrix(o, k); });
        copy_vector(scales, scales_);
        copy_vector(bias, bias_);
    }

    template <class Vector>
    static void check_vector(std::string_view name, const Vector& vector,
                             const std::array<index, 2>& shape) {
        if constexpr (!std::is_same_v<Vector, no_vector>)
            detail::check_one_an_output(name, detail::checked_vector(name, vector).extents[0],
                                        shape);
    }

    void take_memory(const std::array<index, 2>& shape, bool has_bias) {
        outputs_ = shape[0];
        inputs_ = shape[1];
        constexpr index width = detail::panel_width<scalar>;
        const index padded = detail::round_up(outputs_, width);
        detail::check_result<Storage>("packed weights",
                                      std::array<index, 2>{padded + width, inputs_});
        const auto bytes = static_cast<std::size_t>(padded * inputs_) * sizeof(Storage) +
                           2 * static_cast<std::size_t>(padded) * sizeof(scalar);
        memory_ = std::make_shared<arena>();
        memory_->require(bytes + 3 * arena::alignment);
        panels_ = memory_->template take<Storage>(padded * inputs_);
        if (is_scaled) scales_ = memory_->template take<scalar>(padded);
        if (has_bias) bias_ = memory_->template take<scalar>(padded);
    }

    template <class Element>
    void pack(Element element) {
        detail::pack_weights<Storage>(outputs_, inputs_, element, panels_);
    }

    template <class T>
    void round_to_integers(const tensor_view<const T, 2>& matrix) {
        std::vector<double> factors(static_cast<std::size_t>(outputs_));
        for (index o = 0; o < outputs_; ++o) {
            double greatest = 0;
            for (index k = 0; k < inputs_; ++k) {
                const auto w = static_cast<double>(matrix(o, k));
                detail::require_argument(std::isfinite(w),
                                         "heed::packed_weights: the weight of output ", o,
                                         " and input ", k, " is ", w,
                                         ", but what is rounded to integers must be finite");
                greatest = std::max(greatest, std::abs(w));
            }
            factors[static_cast<std::size_t>(o)] = greatest > 0 ? 127 / greatest : 0;
            scales_[o] = static_cast<scalar>(greatest / 127);
        }
        fill_up(scales_);
        pack([&](index o, index k) {
            const auto w = static_cast<double>(matrix(o, k));
            return static_cast<Storage>(std::nearbyint(w * factors[static_cast<std::size_t>(o)]));
        });
    }

    template <class Vector>
    void copy_vector(const Vector& from, scalar* to) const {
        if constexpr (!std::is_same_v<Vector, no_vector>) {
            const auto numbers = detail::vector_view(from);
            for (index o = 0; o < outputs_; ++o) to[o] = static_cast<scalar>(numbers(o));
            fill_up(to);
        }
    }
    void fill_up(scalar* vector) const {
        for (index o = outputs_; o < detail::round_up(outputs_, detail::panel_width<scalar>); ++o)
            vector[o] = scalar(0);
    }

    index outputs_ = 0, inputs_ = 0;
    std::shared_ptr<arena> memory_;
    Storage* panels_ = nullptr;
    scalar* scales_ = nullptr;
    scalar* bias_ = nullptr;
};

}  // namespace heed::inline HEED_ARCHITECTURE
