#pragma once

#include <cstddef>
#include <limits>
#include <tuple>

#include <heed/attention/kernel/products/packed_head.hpp>
#include <heed/attention/kernel/products/query_tile.hpp>
#include <heed/attention/kernel/program/bound_parts.hpp>
#include <heed/attention/kernel/program/learning.hpp>
#include <heed/attention/kernel/program/modifier_gradient.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>
#include <heed/core/tiles.hpp>

/// \file
/// The way back of gradients from scores to products, where rows are whole.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// The way back through the modifiers.
template <class T>
class score_return {
  public:
    bool only_adds = false;  ///< whether no modifier learns, and the derivative of each is 1

    /// The gradients of a row's scores become those of the products, in place: `count` keys of one
    /// block from `first_key` on. Modifiers that are learned add to their gradients.
    virtual void modify_back(const query_tile<T>& tile, index r, index first_key, index count,
                             const T* scores, const T* products, T* gradients) const = 0;
    /// The same of one score, without learning.
    virtual T modify_back(const query_row& row, index key, T product, T gradient) const = 0;

  protected:
    ~score_return() = default;
};

/// Where no modifier is told of anything.
struct nobody_learns {
    template <class... Seen>
    void add(const Seen&...) const {}
};

/// score_return by modifiers, a tuple of references, among them those to a learning_part.
template <class T, bool MovesKeys, class Modifiers>
class score_return_of final : public score_return<T> {
    static constexpr T left_out = -std::numeric_limits<T>::infinity();

  public:
    score_return_of(const call_place& place, const Modifiers& modifiers)
        : place_(place), modifiers_(modifiers) {
        this->only_adds = []<class... Parts>(const std::tuple<const Parts&...>&) {
            return ((!is_learned<Parts> && unwrapped<Parts>::is_additive) && ...);
        }(modifiers);
    }

    void modify_back(const query_tile<T>& tile, index r, index first_key, index count,
                     const T* scores, const T* products, T* gradients) const override {
        const query_row& row = tile.rows[r];
        const index head = tile.batch * place_.shape.heads + tile.head;
        const index blocks = count_blocks(place_.shape.keys, key_block<T>);
        const learning_at learning{head * blocks + first_key / key_block<T>};
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
    const call_place& place_;
    Modifiers modifiers_;
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
