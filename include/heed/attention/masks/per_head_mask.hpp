#pragma once

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// A mask per head: each head takes one of several.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Heads take the masks in turn.
struct masks_in_turn {
    index of(index head, index masks) const { return head % masks; }
    void check(const attention_shape&, index) const {}
    template <class See>
    void inputs(const See&) const {}
};

/// Head h takes mask chosen[h].
template <class Kept>
struct chosen_masks {
    Kept chosen;

    index of(index head, index) const { return static_cast<index>(chosen.view()(head)); }
    void check(const attention_shape& shape, index masks) const {
        const auto all = chosen.view();
        require_shape(all.extents[0] == shape.heads, "heed::per_head_mask chooses for ",
                      all.extents[0], " heads, but there are ", shape.heads, " query heads");
        for (index head = 0; head < shape.heads; ++head) {
            require_argument(
                std::cmp_greater_equal(all(head), 0) && std::cmp_less(all(head), masks),
                "heed::per_head_mask: the mask of head ", head, " is ", all(head),
                ", but must lie between 0 and ", masks - 1);
        }
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::per_head_mask", chosen.view());
    }
};

/// Masks that are intervals of indices need no function of a row's keys.
template <class Mask>
concept mask_with_rows = requires(const Mask& mask, const query_row& i) {
    mask.template on_row<float>(i);
};

/// What a mask makes of a row.
template <class Mask, class T>
struct row_of_mask {
    decltype(std::declval<const Mask&>().template on_row<T>(query_row{})) f;

    explicit row_of_mask(decltype(f) function) : f(std::move(function)) {}
};

}  // namespace detail

/// The type of heed::per_head_mask.
template <class Choice, mask_part... Masks>
class per_head_mask_part : public mask_base {
    static constexpr index count = sizeof...(Masks);
    static constexpr bool some_by_position = (Masks::by_position || ...);
    static constexpr bool all_by_position = (Masks::by_position && ...);
    static constexpr bool has_rows = (detail::mask_with_rows<Masks> && ...);
    static_assert(has_rows || !some_by_position,
                  "heed: parallel_contexts goes into per_head_mask only beside masks by index");

    /// What one of the masks made of a row.
    template <class T>
    using bound_row = std::variant<detail::row_of_mask<Masks, T>...>;

  public:
    static constexpr bool by_position = some_by_position;
    // Intervals of indices among those of positions would be lost with heed::positions.
    static constexpr bool is_interval =
        (Masks::is_interval && ...) && some_by_position == all_by_position;

    per_head_mask_part(Choice choice, Masks... masks)
        : choice_(std::move(choice)), masks_(std::move(masks)...) {}

    void check(const attention_shape& shape) const {
        choice_.check(shape, count);
        std::apply([&](const auto&... mask) { (mask.check(shape), ...); }, masks_);
    }
    template <class See>
    void inputs(See&& see) const {
        choice_.inputs(see);
        std::apply([&](const auto&... mask) { (mask.inputs(see), ...); }, masks_);
    }

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        key_interval own{0, shape.keys};
        with_mask(i.head, [&](const auto& mask) {
            if constexpr (requires { mask.interval(i, shape); }) own = mask.interval(i, shape);
        });
        return own;
    }

    template <class T>
    auto on_row(const query_row& i) const requires(has_rows) {
        return row<T>(i, *this);
    }

    /// Only so that the sentence above is not followed by a page of what could not work.
    template <class T>
    auto on_row(const query_row&) const requires(!has_rows && some_by_position) {
        return [](const key_lanes<T>&) { return vec_mask<T>(true); };
    }

    visibility tile(const query_row& first, const query_row& last, key_interval keys) const {
        visibility answer = visibility::mixed;
        with_mask(first.head, [&](const auto& mask) {
            if constexpr (requires { mask.tile(first, last, keys); })
                answer = mask.tile(first, last, keys);
        });
        return answer;
    }

  private:
    /// The function of whichever mask the head takes.
    template <class T>
    class row {
      public:
        row(const query_row& i, const per_head_mask_part& part) : of_mask_(part.bind<T>(i)) {}

        vec_mask<T> operator()(const key_lanes<T>& j) const {
            return std::visit([&](const auto& of) -> vec_mask<T> { return of.f(j); }, of_mask_);
        }

      private:
        bound_row<T> of_mask_;
    };

    template <class T, std::size_t K = 0>
    bound_row<T> bind(const query_row& i) const {
        if constexpr (K + 1 < sizeof...(Masks))
            if (choice_.of(i.head, count) != static_cast<index>(K)) return bind<T, K + 1>(i);
        return bound_row<T>(std::in_place_index<K>, std::get<K>(masks_).template on_row<T>(i));
    }

    template <class F>
    void with_mask(index head, const F& f) const {
        index left = choice_.of(head, count);
        std::apply([&](const auto&... mask) { (void)((left-- == 0 && (f(mask), true)) || ...); },
                   masks_);
    }

    Choice choice_;
    std::tuple<Masks...> masks_;
};

/// Head h takes mask h mod K of K masks: of two, every other head takes the first, so that half the
/// heads are causal and half anti-causal (kexue 9529).
///
///     auto o = heed::attention(q, k, v, heed::per_head_mask(heed::causal, heed::anti_causal));
template <mask_part First, mask_part... Rest>
[[nodiscard]] auto per_head_mask(First&& first, Rest&&... rest) {
    return per_head_mask_part<detail::masks_in_turn, std::remove_cvref_t<First>,
                              std::remove_cvref_t<Rest>...>({}, std::forward<First>(first),
                                                            std::forward<Rest>(rest)...);
}

/// Head h takes the mask whose number is chosen[h]: any vector of integers, one for each query
/// head.
///
///     auto o = heed::attention(q, k, v, heed::per_head_mask(std::vector{0, 0, 0, 1}, heed::causal,
///                                                           heed::sliding_window(63, 0)));
///
/// The call throws shape_error if there is not one number a head, argument_error if one is not that
/// of a mask.
template <detail::vector_like Chosen, mask_part... Masks>
requires(!part<Chosen> && sizeof...(Masks) > 0) auto per_head_mask(Chosen&& chosen,
                                                                   Masks&&... masks) {
    auto kept = detail::keep_vector("heed::per_head_mask", std::forward<Chosen>(chosen));
    static_assert(std::integral<std::remove_cvref_t<decltype(kept.view()(0))>>,
                  "heed: the masks of heads are chosen by integers");
    using choice = detail::chosen_masks<decltype(kept)>;
    return per_head_mask_part<choice, std::remove_cvref_t<Masks>...>(choice{std::move(kept)},
                                                                     std::forward<Masks>(masks)...);
}

}  // namespace heed::inline HEED_ARCHITECTURE
