#pragma once

#include <cmath>
#include <limits>

#include <heed/core/architecture.hpp>

/// \file
/// What a loss on softmax's probabilities may want to know of a row.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// Of a row with n logits and target t, to the last digits wherever p_t is near 0 or 1.
struct target_facts {
    double log_p;         ///< log p_t
    double p;             ///< p_t
    double others;        ///< 1 − p_t, as the sum of the others' probabilities
    double mean_log_p;    ///< Σ log p_j/n, if the loss asks for it
    double expected_gap;  ///< Σ p_j·(log p_j − log p_t), if the loss asks for it
};

/// What a loss says of a row: its value, and dx = weight·(p − q),
/// q = (1 − smoothing)·onehot(t) + smoothing/n.
struct row_loss {
    double value;
    double weight = 1;
    double smoothing = 0;
};

/// What is known of a row whose label has logit x_t; m is near the maximum of the others, not
/// above.
struct sums_beside_label {
    double gap = 0;  ///< (x_t − m)/τ
    double sum = 0;  ///< Σ e^{(x_j − m)/τ} over all but the label's: 0 if they are −∞, or ≥ 1
    double weighted = 0;  ///< Σ e^{(x_j − m)/τ}·(x_j − m)/τ over all but the label's
    double mean_gap = 0;  ///< Σ (x_j − m)/(nτ) over all of them
};

/// The facts of a row, and its others' probabilities: p_j = share·e^{(x_j − m)/τ}.
struct row_facts {
    target_facts target;
    double share;
};

/// Of a label that is the greatest, log p_t = −log1p(Σ e^{(x_j − x_t)/τ}): nothing is taken from 1.
inline row_facts facts_of(double logit, const sums_beside_label& row) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (std::isnan(row.sum) || !(logit < infinity)) {
        constexpr double none = std::numeric_limits<double>::quiet_NaN();
        return {{none, none, none, none, none}, none};
    }
    if (logit == -infinity) {
        const double share = row.sum == 0 ? 0 : 1 / row.sum;
        return {{-infinity, 0, 1, -infinity, infinity}, share};
    }
    if (row.sum == 0) return {{0, 1, 0, std::isinf(row.mean_gap) ? row.mean_gap : 0, 0}, 0};
    row_facts all{};
    double log_sum = 0;  // of all exponentials, the label's too
    if (row.gap >= 0) {
        const double e = std::exp(-row.gap), odds = row.sum * e, loss = std::log1p(odds);
        log_sum = row.gap + loss;
        all.share = e / (1 + odds);
        all.target = {-loss, 1 / (1 + odds), odds / (1 + odds), 0, 0};
    } else {
        const double e = std::exp(row.gap), total = row.sum + e;
        log_sum = std::log(total);
        all.share = 1 / total;
        all.target = {row.gap - log_sum, e / total, row.sum / total, 0, 0};
    }
    all.target.mean_log_p = row.mean_gap - log_sum;
    // 0·∞ is NaN.
    if (all.target.others > 0)
        all.target.expected_gap = all.share * row.weighted - all.target.others * row.gap;
    return all;
}

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
