#pragma once

#include <limits>
#include <optional>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/view.hpp>

/// \file
/// How Nyström attention chooses its landmarks and inverts what they say of one another.

namespace heed::inline HEED_ARCHITECTURE {

/// What stands between the two attentions over landmarks.
enum class pseudo_inverse {
    rounds,  ///< iterative: products of matrices alone
    svd,     ///< by singular values
    none     ///< nothing: softmax(Q·K̃ᵀ)·(softmax(Q̃·Kᵀ)·V)
};

struct nystrom_options {
    detail::any_integral landmarks = 64;  ///< m, at least 1; sequences shorter than it have fewer
    detail::any_integral rounds = 6;      ///< of the iterative pseudo-inverse, at least 0
    pseudo_inverse inverse = pseudo_inverse::rounds;
    /// For the singular values: those up to tolerance times the greatest count as zero. m·ε of the
    /// scalar unless given; 0 … 1.
    std::optional<double> tolerance = std::nullopt;

    /// The tolerance for m landmarks.
    template <class T>
    double tolerance_of(index m) const {
        return tolerance.value_or(static_cast<double>(m) *
                                  static_cast<double>(std::numeric_limits<T>::epsilon()));
    }

    void check() const {
        detail::require_argument(landmarks.value >= 1, "nystrom_attention: landmarks is ",
                                 landmarks.value, ", but must be at least 1");
        detail::require_argument(rounds.value >= 0, "nystrom_attention: rounds is ", rounds.value,
                                 ", but must be at least 0");
        const double given = tolerance.value_or(0);
        detail::require_argument(given >= 0 && given < 1, "nystrom_attention: tolerance is ", given,
                                 ", but must lie in [0, 1)");
    }

    bool operator==(const nystrom_options& other) const {
        return landmarks.value == other.landmarks.value && rounds.value == other.rounds.value &&
               inverse == other.inverse && tolerance == other.tolerance;
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE
