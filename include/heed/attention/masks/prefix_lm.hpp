#pragma once

#include <algorithm>
#include <concepts>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

#include <heed/attention/masks/sliding_window.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// The prefix language model's mask: bidirectional on a prefix, causal behind it.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// A prefix, which may reach beyond all keys.
template <std::integral Integer>
index checked_prefix(Integer prefix) {
    return window_side("heed::prefix_lm", "the prefix", prefix);
}

/// The same prefix for every sequence.
struct prefix_of_all {
    index prefix;

    index of(index) const { return prefix; }
    void check(const attention_shape&) const {}
    template <class See>
    void inputs(const See&) const {}
};

/// A prefix for each sequence of the batch.
template <class Kept>
struct prefix_of_each {
    Kept kept;

    index of(index batch) const { return bounded_reach(kept.view()(batch)); }
    void check(const attention_shape& shape) const {
        const auto prefixes = kept.view();
        require_shape(prefixes.extents[0] == shape.batch, "heed::prefix_lm has ",
                      prefixes.extents[0], " prefixes, but the batch has ", shape.batch,
                      " sequences");
        for (index batch = 0; batch < shape.batch; ++batch) checked_prefix(prefixes(batch));
    }
    template <class See>
    void inputs(See&& see) const {
        see("heed::prefix_lm", kept.view());
    }
};

}  // namespace detail

/// The type of heed::prefix_lm(prefix).
template <class Prefix>
class prefix_lm_mask : public mask_base {
  public:
    static constexpr bool is_interval = true;
    static constexpr bool by_position = true;

    explicit prefix_lm_mask(Prefix prefix) : prefix_(std::move(prefix)) {}

    void check(const attention_shape& shape) const { prefix_.check(shape); }
    template <class See>
    void inputs(See&& see) const {
        prefix_.inputs(see);
    }

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        const index last = std::max(i.position + 1, prefix_.of(i.batch));
        return {0, std::clamp<index>(last, 0, shape.keys)};
    }

    template <class T>
    auto on_row(const query_row& i) const {
        return [prefix = prefix_.of(i.batch), position = i.lane_position<T>()](
                   const key_lanes<T>& j) { return j.position <= position || j.position < prefix; };
    }

  private:
    Prefix prefix_;
};

/// Query i sees key j if j ≤ i or j < prefix, by position (kexue 9529): the first `prefix` tokens
/// see each other, those behind them see what is before.
///
///     auto o = heed::attention(q, k, v, heed::prefix_lm(128));
///
/// argument_error if the prefix is negative; one beyond the keys lets everything be seen.
template <std::integral Integer>
[[nodiscard]] prefix_lm_mask<detail::prefix_of_all> prefix_lm(Integer prefix) {
    return prefix_lm_mask<detail::prefix_of_all>({detail::checked_prefix(prefix)});
}

/// A prefix for each sequence of the batch: any vector of integers.
///
/// The call throws shape_error if there is not one prefix a sequence, argument_error if one is
/// negative.
template <detail::vector_like Prefixes>
[[nodiscard]] auto prefix_lm(Prefixes&& prefixes) {
    auto kept = detail::keep_vector("heed::prefix_lm", std::forward<Prefixes>(prefixes));
    static_assert(std::integral<std::remove_cvref_t<decltype(kept.view()(0))>>,
                  "heed: the prefixes of heed::prefix_lm are integers");
    using prefix = detail::prefix_of_each<decltype(kept)>;
    return prefix_lm_mask<prefix>(prefix{std::move(kept)});
}

/// heed::prefix_lm({70, 64, 3})
inline auto prefix_lm(std::initializer_list<index> prefixes) {
    return prefix_lm(std::vector<index>(prefixes));
}

}  // namespace heed::inline HEED_ARCHITECTURE
