#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Whose random numbers a sequence of the batch gets: a sequence's go with its id, not with its
/// place.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// All sequences are one: the same numbers in each.
struct one_sequence {
    std::int64_t of(index) const { return 0; }
    void check(std::string_view, const attention_shape&) const {}
    template <class See>
    void inputs(const See&) const {}
};

/// An id for each sequence of the batch.
template <class Kept>
struct sequence_ids {
    Kept kept;

    std::int64_t of(index batch) const { return static_cast<std::int64_t>(kept.view()(batch)); }
    void check(std::string_view part, const attention_shape& shape) const {
        const index count = kept.view().extents[0];
        require_shape(count == shape.batch, part, " has ", count,
                      " sequence ids, but the batch has ", shape.batch, " sequences");
    }
    template <class See>
    void inputs(See&& see) const {
        see("the ids of sequences", kept.view());
    }
};

template <vector_like Ids>
auto keep_sequence_ids(Ids&& ids) {
    auto kept = keep_vector("the ids of sequences", std::forward<Ids>(ids));
    static_assert(std::integral<std::remove_cvref_t<decltype(kept.view()(0))>>,
                  "heed: the ids of sequences are integers");
    return sequence_ids<decltype(kept)>{std::move(kept)};
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
