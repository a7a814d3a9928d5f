#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <Eigen/Core>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>

/// \file
/// The residual of Nyström attention: a convolution of v along the sequence, added to o.

namespace heed::inline HEED_ARCHITECTURE {

namespace role {
struct residual {};  ///< what is added to the output
}  // namespace role

/// The type of heed::residual_convolution(w).
template <class Kept>
class residual_convolution_part {
  public:
    using role = heed::role::residual;

    explicit residual_convolution_part(Kept weights) : weights_(std::move(weights)) {}

    index taps() const { return weights_.view().extents[1]; }
    double weight(index head, index tap) const {
        return static_cast<double>(weights_.view()(head, tap));
    }

    void check(const attention_shape& shape) const {
        const auto weights = weights_.view();
        detail::check_view(name, weights);
        detail::require_shape(weights.extents[0] == shape.heads, name, " has shape ",
                              weights.extents, ", but must have a row for each of the ",
                              shape.heads, " query heads");
        detail::require_argument(taps() % 2 == 1, name, " has ", taps(),
                                 " weights a head, but their number must be odd");
        detail::require_shape(shape.queries == shape.keys, name,
                              " adds v to o row by row, but there are ", shape.queries,
                              " queries and ", shape.keys, " keys");
    }
    template <class See>
    void inputs(See&& see) const {
        see(name, weights_.view());
    }

    template <class T>
    auto make_gradient(const attention_shape&) const {
        using gradient = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
        const auto extents = weights_.view().extents;
        return gradient(gradient::Zero(extents[0], extents[1]));
    }
    template <class View>
    void check_gradient(const View& gradient, const attention_shape&) const {
        constexpr const char* of_it = "the gradient of heed::residual_convolution";
        static_assert(rank_of<View> == 2, "heed: the gradient of a matrix is a matrix");
        detail::check_view(of_it, gradient);
        detail::check_same_shape(of_it, gradient, "the weights", weights_.view());
    }

  private:
    static constexpr const char* name = "heed::residual_convolution";

    Kept weights_;
};

/// o_n += Σ_t w_{h,t}·v_{n + t − ⌊K/2⌋}, v zero outside the sequence: a convolution along the
/// sequence, w [heads, K] one weight for each query head and distance, K odd (arXiv 2102.03902). A
/// part of heed::nystrom_attention; it can be learned.
///
///     auto o = heed::nystrom_attention(q, k, v, {.landmarks = 64}, heed::residual_convolution(w));
///
/// The call throws shape_error unless there is a row for each query head, and as many keys as
/// queries; argument_error if K is even.
template <tensor_like Weights>
[[nodiscard]] auto residual_convolution(Weights&& weights) {
    static_assert(rank_of<Weights> == 2,
                  "heed: heed::residual_convolution takes a matrix [heads, weights]");
    auto kept = detail::keep(std::forward<Weights>(weights));
    return residual_convolution_part<decltype(kept)>(std::move(kept));
}

}  // namespace heed::inline HEED_ARCHITECTURE
