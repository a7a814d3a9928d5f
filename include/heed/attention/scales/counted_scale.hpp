#pragma once

#include <cmath>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/attention/positions.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>

/// \file
/// Scales of log n_i where the caller says what n_i is.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// Stops the compilation with one sentence if a scale has no use for counts.
template <class Scale>
constexpr bool check_counting_scale() {
    constexpr bool counts = Scale::needs_visible_count;
    static_assert(counts,
                  "heed: heed::counted_scale takes a scale that counts visible keys, such as "
                  "heed::log_n_scale");
    return counts;
}

}  // namespace detail

/// The type of heed::counted_scale(scale, counts).
template <class Scale, detail::position_list Counts>
class counted_scale_part : public scale_base {
  public:
    static constexpr bool normalises_query = Scale::normalises_query;
    static constexpr bool normalises_key = Scale::normalises_key;

    counted_scale_part(Scale scale, detail::kept_positions<Counts> counts)
        : scale_(std::move(scale)), counts_(std::move(counts)) {}

    double on_row(const query_row& i, const attention_shape& shape, index) const {
        return scale_.on_row(i, shape, static_cast<index>(count(i.batch, i.query)));
    }

    void check(const attention_shape& shape) const {
        scale_.check(shape);
        counts_.check("the counts of heed::counted_scale", shape.batch, shape.queries);
        const index sequences = counts_.view().extents[0];
        for (index b = 0; b < sequences; ++b) {
            for (index i = 0; i < shape.queries; ++i) {
                const auto given = static_cast<double>(count(b, i));
                detail::require_argument(given >= 0 && given == std::floor(given),
                                         "the counts of heed::counted_scale hold ",
                                         detail::as_given(count(b, i)), " at [", b, ", ", i,
                                         "], but must be whole numbers, and not negative");
            }
        }
    }
    template <class See>
    void inputs(See&& see) const {
        scale_.inputs(see);
        see("the counts of heed::counted_scale", counts_.view());
    }

  private:
    auto count(index batch, index query) const {
        return counts_.view()(detail::kept_positions<Counts>::per_batch ? batch : index(0), query);
    }

    Scale scale_;
    detail::kept_positions<Counts> counts_;
};

/// A scale that depends on how many keys a query sees, as heed::log_n_scale does, with these n_i in
/// the place of the keys it sees in this call: for calls with a part of the keys, whose results are
/// merged (heed::merge).
///
///     auto scale = heed::counted_scale(heed::log_n_scale(512), counts);   // of the whole sequence
///     auto [o, stats] = heed::attention_forward(q, k_part, v_part, scale);
///
/// Counts are whole numbers of any type, [queries] or [batch, queries]; lvalues are viewed,
/// temporary objects owned. The call throws shape_error where there is not one for each query,
/// argument_error for one that is negative, not whole, or not below 2⁵³.
template <part_of<role::scale> Scale, detail::position_list Counts>
[[nodiscard]] counted_scale_part<Scale, Counts> counted_scale(Scale scale, Counts&& counts) {
    static_cast<void>(detail::check_counting_scale<Scale>());
    return {std::move(scale), detail::kept_positions<Counts>(std::forward<Counts>(counts))};
}

}  // namespace heed::inline HEED_ARCHITECTURE
