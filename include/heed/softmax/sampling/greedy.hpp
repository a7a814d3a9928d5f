#pragma once

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/view.hpp>
#include <heed/rows/row_arguments.hpp>
#include <heed/softmax/sampling/kernel/choice.hpp>
#include <heed/softmax/sampling/kernel/draw_row.hpp>

/// \file
/// The likeliest token of each row of logits.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::greedy.
class greedy_function {
  public:
    constexpr greedy_function() = default;

    /// A token for each row.
    template <tensor_like X, class... Extras>
    [[nodiscard]] auto operator()(const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate("x", x);
        auto tokens = detail::make_choices<X>(held.view().extents);
        run<X>(tokens, detail::row_view<X>(held.view()), detail::call_resources(extras...));
        return tokens;
    }

    /// The same in the caller's memory.
    template <class Tokens, tensor_like X, class... Extras>
    void into(Tokens&& tokens, const X& x, const Extras&... extras) const {
        const auto held = detail::evaluate(x);
        run<X>(tokens, detail::row_view<X>(held.view()), detail::call_resources(extras...));
    }

  private:
    template <class X, class Tokens, class T, int Rank>
    static void run(Tokens& tokens, const tensor_view<T, Rank>& x,
                    const detail::call_resources& resources) {
        detail::choose_rows("heed::greedy", detail::places_of_choices<X>(tokens), x, resources,
                            [](const auto& row, index, arena&) { return detail::largest_of(row); });
    }
};

/// The lowest index of the largest logit of each row.
///
///     auto tokens = heed::greedy(logits);
///
/// Arguments, result and errors are those of sample_function. O(size of x).
inline constexpr greedy_function greedy{};

}  // namespace heed::inline HEED_ARCHITECTURE
