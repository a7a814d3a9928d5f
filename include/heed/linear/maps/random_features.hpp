#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/random.hpp>
#include <heed/core/shape.hpp>
#include <heed/core/view.hpp>
#include <heed/linear/detail/chi_quantile.hpp>

/// \file
/// Random directions for FAVOR+.

namespace heed::inline HEED_ARCHITECTURE {

/// How directions are drawn.
enum class directions {
    orthogonal,  ///< in blocks of dim, orthogonal within each
    independent  ///< each by itself
};

/// How long they are.
enum class direction_lengths {
    chi,       ///< as a normal vector is: drawn from χ of dim degrees of freedom
    root_dim,  ///< all √dim
    quantiles  ///< the i-th the quantile i/(count + 1) of χ
};

struct random_features_options {
    detail::any_integral dim;          ///< of q and k, ≥ 1
    detail::any_integral count = 256;  ///< of directions, ≥ 1
    detail::any_bits seed = 0;
    heed::directions directions = heed::directions::orthogonal;
    direction_lengths lengths = direction_lengths::chi;
};

/// The directions ω of heed::favor, [count, dim]: a value, the same for the same options on every
/// platform but for the last bits. Independent directions of lengths χ are normal vectors.
///
///     const auto f = heed::random_features({.dim = 64, .count = 256, .seed = 1});
///     const auto next = f.redrawn(2);   // another seed
///
/// Source: arXiv 2009.14794; kexue 7921.
class random_features {
  public:
    /// argument_error unless dim and count are at least 1 and at most 2²⁴.
    explicit random_features(const random_features_options& options) : options_(options) {
        check("dimension", dim());
        check("count", count());
        draw();
    }

    /// Given directions [count, dim], a checkpoint's for example. shape_error unless there is one
    /// at least, of one dimension at least; argument_error for a number that is not finite.
    template <tensor_like Directions>
    static random_features from(const Directions& given) {
        static_assert(rank_of<Directions> == 2, "heed: directions are [count, dim]");
        const auto held = detail::evaluate("the directions", given);
        const auto omega = held.view();
        detail::require_shape(!omega.empty(), "the directions have shape ", omega.extents,
                              ", but must not be empty");
        random_features result;
        result.options_.dim = omega.extents[1];
        result.options_.count = omega.extents[0];
        for (index f = 0; f < result.count(); ++f) {
            for (index c = 0; c < result.dim(); ++c) {
                const auto x = static_cast<double>(omega(f, c));
                detail::require_argument(std::isfinite(x), "the directions hold ", x,
                                         ", but must be finite");
                result.omega_.push_back(x);
            }
        }
        return result;
    }

    index dim() const { return options_.dim.value; }
    index count() const { return options_.count.value; }
    /// Direction f, component c.
    double operator()(index f, index c) const {
        return omega_[static_cast<std::size_t>(f * dim() + c)];
    }
    /// As many, drawn with another seed.
    [[nodiscard]] random_features redrawn(detail::any_bits seed) const {
        random_features_options options = options_;
        options.seed = seed;
        return random_features(options);
    }

  private:
    random_features() : options_{.dim = 1} {}

    static void check(const char* what, index number) {
        detail::require_argument(number >= 1 && number <= (index(1) << 24),
                                 "heed::random_features: the ", what, " is ", number,
                                 ", but must be at least 1 and at most 2^24");
    }

    double& at(index f, index c) { return omega_[static_cast<std::size_t>(f * dim() + c)]; }

    void draw() {
        const auto seed = static_cast<std::uint64_t>(options_.seed.value);
        const random_numbers normal(seed, 0), of_lengths(seed, 1);
        omega_.resize(static_cast<std::size_t>(count() * dim()));
        const bool orthogonal = options_.directions == directions::orthogonal;
        const bool as_drawn = !orthogonal && options_.lengths == direction_lengths::chi;
        for (index f = 0; f < count(); ++f) {
            for (index c = 0; c < dim(); ++c) at(f, c) = normal.normal(f, c);
            if (as_drawn) continue;
            // Twice is enough: what rounding left of the others goes with the second time.
            for (int time = 0; orthogonal && time < 2; ++time)
                for (index other = f / dim() * dim(); other < f; ++other) remove(f, other);
            multiply(f, 1 / length(f));
        }
        for (index f = 0; !as_drawn && f < count(); ++f) multiply(f, length_of(of_lengths, f));
    }
    double length(index f) const {
        double sum = 0;
        for (index c = 0; c < dim(); ++c) sum += (*this)(f, c) * (*this)(f, c);
        return std::sqrt(sum);
    }
    void multiply(index f, double factor) {
        for (index c = 0; c < dim(); ++c) at(f, c) *= factor;
    }
    /// What direction f has of another one, of length 1.
    void remove(index f, index other) {
        double along = 0;
        for (index c = 0; c < dim(); ++c) along += at(f, c) * at(other, c);
        for (index c = 0; c < dim(); ++c) at(f, c) -= along * at(other, c);
    }
    double length_of(const random_numbers& numbers, index f) const {
        switch (options_.lengths) {
            case direction_lengths::root_dim:
                return std::sqrt(static_cast<double>(dim()));
            case direction_lengths::quantiles:
                return detail::chi_quantile(
                    static_cast<double>(f + 1) / static_cast<double>(count() + 1), dim());
            case direction_lengths::chi:
                break;
        }
        double sum = 0;
        for (index c = 0; c < dim(); ++c) {
            const double x = numbers.normal(f, c);
            sum += x * x;
        }
        return std::sqrt(sum);
    }

    random_features_options options_;
    std::vector<double> omega_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
