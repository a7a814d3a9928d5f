#include "texts.hpp"

#include <utility>

namespace length_extrapolation {

measured_text ordinary_text(std::span<const token> text, index length, index context, index count) {
    return {"ordinary", {}, char_lm::spread_windows(text, length, context, count)};
}

measured_text repeated_text(const measured_text& ordinary, index period) {
    measured_text repeated{"repeated", {}, {}};
    for (const auto& window : ordinary.windows) {
        std::vector<token> copy(window.begin(), window.end());
        for (std::size_t i = copy.size() - std::size_t(period); i-- > 0;)
            copy[i] = copy[i + std::size_t(period)];
        repeated.own.push_back(std::move(copy));
        repeated.windows.emplace_back(repeated.own.back());
    }
    return repeated;
}

}  // namespace length_extrapolation
