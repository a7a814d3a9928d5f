#pragma once

#include <new>

#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/whole_row/score_return.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>

/// \file
/// A normaliser of whole rows as the backward kernel knows it.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// From scores and dp to gradients of the scores. `kernel` is as in row_rule.
template <class T>
class row_gradient_rule {
  public:
    index kernel_bytes = 0;
    const score_return<T>& modifiers;  ///< the way on to the products

    explicit row_gradient_rule(const score_return<T>& of_scores) : modifiers(of_scores) {}

    virtual void open(void* kernel, index head) const = 0;
    /// Scores become p, and dp the gradient of the scores, both in place; `scores` holds the scores
    /// too. *of_parameter, unless null, gets what the row adds to the gradient of the normaliser's.
    virtual void differentiate(const void* kernel, const query_tile<T>& tile, index r,
                               const T* scores, T* p, T* dp, index count, T* of_parameter,
                               arena& scratch) const = 0;
    /// dp of a support, in place, becomes the gradient of its scores.
    virtual void differentiate_support(const void* kernel, const row_support<T>& support,
                                       T* dp) const = 0;

  protected:
    ~row_gradient_rule() = default;
};

/// dp of a support, in place, becomes the gradient of its scores.
template <class T, class Kernel>
void normalise_support_back(const Kernel& normaliser, const row_support<T>& support, T* dp) {
    constexpr index size = vec<T>::size;
    const vec<T> zero(T(0));
    vec<T> origin(zero);
    if constexpr (requires { normaliser.origin(dp, dp, index(0)); })
        origin = vec<T>(normaliser.origin(support.probabilities, dp, support.count));
    const auto weight = [&](index s) {
        const vec<T> p = vec<T>::load_partial(support.probabilities + s, support.count - s);
        return select(p > zero, normaliser.weight(p), zero);
    };
    const auto gradient = [&](index s) {
        return vec<T>::load_partial(dp + s, support.count - s) - origin;
    };
    vec<T> weights = zero, weighted = zero;
    for (index s = 0; s < support.count; s += size) {
        const vec<T> g = weight(s);
        weights += g;
        weighted = fma(g, gradient(s), weighted);
    }
    const vec<T> mean(reduce_add(weighted) / reduce_add(weights));
    for (index s = 0; s < support.count; s += size)
        (weight(s) * (gradient(s) - mean)).store_partial(dp + s, support.count - s);
}

/// row_gradient_rule by a normaliser.
template <class T, class Normaliser>
class row_gradient_rule_of final : public row_gradient_rule<T> {
    using kernel_type = kernel_of<T, Normaliser>;
    using statistics_type = typename kernel_type::statistics;

  public:
    row_gradient_rule_of(const attention_shape& shape, const Normaliser& normaliser,
                         const statistics_type* statistics, const score_return<T>& of_scores)
        : row_gradient_rule<T>(of_scores),
          shape_(shape),
          normaliser_(normaliser),
          statistics_(statistics) {
        this->kernel_bytes = sizeof(kernel_type);
    }

    void open(void* kernel, index head) const override {
        ::new (kernel) kernel_type(normaliser_.template whole_row<T>(head));
    }

    void differentiate(const void* kernel, const query_tile<T>& tile, index r, const T* scores,
                       T* p, T* dp, index count, T* of_parameter, arena& scratch) const override {
        const index head = tile.batch * shape_.heads + tile.head;
        const auto& solved = statistics_[head * shape_.queries + tile.first + r];
        of(kernel).recompute(solved, p, count);
        of(kernel).gradient(solved, scores, p, dp, count, of_parameter, scratch);
    }

    void differentiate_support([[maybe_unused]] const void* kernel,
                               [[maybe_unused]] const row_support<T>& support,
                               [[maybe_unused]] T* dp) const override {
        if constexpr (is_sparse<kernel_type>) normalise_support_back(of(kernel), support, dp);
    }

  private:
    static const kernel_type& of(const void* kernel) {
        return *static_cast<const kernel_type*>(kernel);
    }

    const attention_shape& shape_;
    const Normaliser& normaliser_;
    const statistics_type* statistics_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
