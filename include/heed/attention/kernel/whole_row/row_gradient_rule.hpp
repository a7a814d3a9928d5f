#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>

#include <heed/attention/kernel/bound_parts.hpp>
#include <heed/attention/kernel/learning.hpp>
#include <heed/attention/kernel/modifier_gradient.hpp>
#include <heed/attention/kernel/packed_head.hpp>
#include <heed/attention/kernel/query_tile.hpp>
#include <heed/attention/kernel/whole_row/support.hpp>
#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// A normaliser of whole rows, and the modifiers before it, as the backward kernel knows them.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// From scores and dp to gradients of the products. `kernel` is as in row_rule.
template <class T>
class row_gradient_rule {
  public:
    index kernel_bytes = 0;
    bool only_adds = false;  ///< whether no modifier learns, and the derivative of each is 1

    virtual void open(void* kernel, index head) const = 0;
    /// Scores become p, and dp the gradient of the scores, both in place; `scores` holds the scores
    /// too. Returns what the row adds to the gradient of the normaliser's parameter.
    virtual T differentiate(const void* kernel, const query_tile<T>& tile, index r, const T* scores,
                            T* p, T* dp, index count, arena& scratch) const = 0;
    /// dp of a support, in place, becomes the gradient of its scores.
    virtual void differentiate_support(const void* kernel, const row_support<T>& support,
                                       T* dp) const = 0;
    /// The gradients of a row's scores on their way back through the modifiers, in place: `count`
    /// keys of one block from `first_key` on. Modifiers that are learned add to their gradients.
    virtual void modify_back(const query_tile<T>& tile, index r, index first_key, index count,
                             const T* scores, const T* products, T* gradients) const = 0;
    /// The same of one score, without learning.
    virtual T modify_back(const query_row& row, index key, T product, T gradient) const = 0;

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

/// Where no modifier is told of anything.
struct nobody_learns {
    template <std::size_t, class... Seen>
    void add(const Seen&...) const {}
};

/// row_gradient_rule by modifiers (a tuple of references, learned or not), a normaliser, and an
/// entry for what is learned of each modifier.
template <class T, bool MovesKeys, class Modifiers, class Normaliser, class Entries>
class row_gradient_rule_of final : public row_gradient_rule<T> {
    using kernel_type = kernel_of<T, Normaliser>;
    using statistics_type = typename kernel_type::statistics;
    static constexpr T left_out = -std::numeric_limits<T>::infinity();

  public:
    row_gradient_rule_of(const call_place& place, const Modifiers& modifiers,
                         const Normaliser& normaliser, const statistics_type* statistics,
                         const Entries& entries, bool adds_alone)
        : place_(place),
          modifiers_(modifiers),
          normaliser_(normaliser),
          statistics_(statistics),
          entries_(entries) {
        this->kernel_bytes = sizeof(kernel_type);
        this->only_adds = adds_alone;
    }

    void open(void* kernel, index head) const override {
        ::new (kernel) kernel_type(normaliser_.template whole_row<T>(head));
    }

    T differentiate(const void* kernel, const query_tile<T>& tile, index r, const T* scores, T* p,
                    T* dp, index count, arena& scratch) const override {
        const index head = tile.batch * place_.shape.heads + tile.head;
        const auto& solved = statistics_[head * place_.shape.queries + tile.first + r];
        of(kernel).recompute(solved, p, count);
        return of(kernel).gradient(solved, scores, p, dp, count, scratch);
    }

    void differentiate_support([[maybe_unused]] const void* kernel,
                               [[maybe_unused]] const row_support<T>& support,
                               [[maybe_unused]] T* dp) const override {
        if constexpr (is_sparse<kernel_type>) normalise_support_back(of(kernel), support, dp);
    }

    void modify_back(const query_tile<T>& tile, index r, index first_key, index count,
                     const T* scores, const T* products, T* gradients) const override {
        const query_row& row = tile.rows[r];
        const index head = tile.batch * place_.shape.heads + tile.head;
        const index blocks = count_blocks(place_.shape.keys, key_block<T>);
        const learning_at<T, Entries> learning{entries_, head * blocks + first_key / key_block<T>};
        const auto modifiers = bind_to_row<T>(modifiers_, row);
        const vec<T> zero(T(0));
        for (index c = 0; c < count; c += vec<T>::size) {
            const auto seen = vec<T>::load(scores + c) != vec<T>(left_out);
            if (!any(seen)) continue;
            const auto harmless = [&](vec<T> x) __attribute__((always_inline)) {
                return select(seen, x, zero);
            };
            const auto keys = make_lanes<T, MovesKeys>(place_, row.batch, first_key + c);
            const vec<T> gradient = harmless(vec<T>::load(gradients + c));
            differentiate_modifiers<T>(
                modifiers_, modifiers, learning, row, keys, harmless(vec<T>::load(products + c)),
                harmless, [&](vec<T>) __attribute__((always_inline)) { return gradient; })
                .store(gradients + c);
        }
    }

    T modify_back(const query_row& row, index key, T product, T gradient) const override {
        auto keys = make_lanes<T, MovesKeys>(place_, row.batch, key);
        keys.count = 1;
        T result;
        differentiate_modifiers<T>(
            modifiers_, bind_to_row<T>(modifiers_, row), nobody_learns(), row, keys,
            vec<T>(product), [](vec<T> x) { return x; }, [&](vec<T>) { return vec<T>(gradient); })
            .store_partial(&result, 1);
        return result;
    }

  private:
    static const kernel_type& of(const void* kernel) {
        return *static_cast<const kernel_type*>(kernel);
    }

    const call_place& place_;
    Modifiers modifiers_;
    const Normaliser& normaliser_;
    const statistics_type* statistics_;
    const Entries& entries_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
