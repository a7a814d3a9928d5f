#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <heed/core/architecture.hpp>

/// \file
/// What attention_forward returns.

namespace heed::inline HEED_ARCHITECTURE {

/// What attention_forward returns: `auto [o, stats] = …`, and behind them the tensors of the
/// observers in the order of the parts, `auto [o, stats, entropy] = …`.
template <class Output, class Stats, class... Observed>
struct forward_result {
    Output output;
    Stats stats;
    std::tuple<Observed...> observed;

    template <std::size_t I>
    friend auto& get(forward_result& result) {
        return result.template element<I>();
    }
    template <std::size_t I>
    friend const auto& get(const forward_result& result) {
        return const_cast<forward_result&>(result).template element<I>();
    }
    template <std::size_t I>
    friend auto&& get(forward_result&& result) {
        return std::move(result.template element<I>());
    }

  private:
    template <std::size_t I>
    auto& element() {
        if constexpr (I == 0)
            return output;
        else if constexpr (I == 1)
            return stats;
        else
            return std::get<I - 2>(observed);
    }
};

}  // namespace heed::inline HEED_ARCHITECTURE

template <class Output, class Stats, class... Observed>
struct std::tuple_size<heed::forward_result<Output, Stats, Observed...>>
    : std::integral_constant<std::size_t, 2 + sizeof...(Observed)> {};

template <std::size_t I, class Output, class Stats, class... Observed>
struct std::tuple_element<I, heed::forward_result<Output, Stats, Observed...>> {
    using type = std::tuple_element_t<I, std::tuple<Output, Stats, Observed...>>;
};
