#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/softmax/loss_function.hpp>
#include <heed/softmax/sparsemax.hpp>
#include <heed/softmax/whole_row_loss.hpp>

/// \file
/// The loss that belongs to sparsemax.

namespace heed::inline HEED_ARCHITECTURE {

/// (p − onehot(t))·x + ½Σ(p − p²), p = sparsemax(x).
class sparsemax_row_loss {
  public:
    /// For the kernel.
    template <class T>
    auto whole_row() const {
        return sparsemax.whole_row<T>(0);
    }
    template <class T>
    T operator()(const detail::solved_row<T>& row, T logit) const {
        return row.sum([](vec<T> p, vec<T> gap) {
            return p * fma(vec<T>(T(1)) - p, vec<T>(T(0.5)), gap);
        }) - row.gap(logit);
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
/// Computed as (p − onehot(t))·x + ½Σ(p − p²), which is the same and cancels nothing. See
/// loss_function for labels, reductions, errors and cost.
inline constexpr loss_function<sparsemax_row_loss> sparsemax_loss{};

}  // namespace heed::inline HEED_ARCHITECTURE
