#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/losses/kernel/loss_function.hpp>
#include <heed/softmax/losses/kernel/whole_row_loss.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

/// \file
/// The loss that belongs to sparsemax.

namespace heed::inline HEED_ARCHITECTURE {

/// ½‖p − onehot(t)‖² + (λ − x_t if that is positive), p = sparsemax(x) = relu(x − λ).
class sparsemax_row_loss {
  public:
    /// For the kernel.
    template <class T>
    auto whole_row() const {
        return sparsemax.whole_row<T>(0);
    }
    template <class T>
    double operator()(const detail::solved_row<T>& row) const {
        const auto others = static_cast<double>(row.others);
        const double squares = row.sum_others([](vec<T> p) { return p * p; });
        // λ = max x − max p; 0 where t is in the support.
        const double below = row.p_t > T(0) ? 0 : -row.gap() - static_cast<double>(row.greatest_p);
        return (others * others + squares) / 2 + std::max(below, 0.0);
    }
    template <class T>
    auto rows(double scale) const {
        return detail::whole_row_loss_rows<T, sparsemax_row_loss>(*this, scale);
    }
    static void check(index) {}
};

/// The sparsemax loss ½ − x_t + Σ_Ω ½(x_i² − λ²), Ω the support of p = sparsemax(x) = relu(x − λ)
/// (arXiv 1602.02068, kexue 10145), whose gradient is p − onehot(t). It is 0 once x_t is greater
/// than all others by 1.
///
///     auto [loss, dx] = heed::sparsemax_loss.with_gradient(logits, labels);
///
/// Computed as ½‖p − onehot(t)‖² + relu(λ − x_t), which is the same and cancels nothing. See
/// loss_function for labels, reductions, errors and cost.
inline constexpr loss_function<sparsemax_row_loss> sparsemax_loss{};

}  // namespace heed::inline HEED_ARCHITECTURE
