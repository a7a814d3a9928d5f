#pragma once

#include <algorithm>
#include <utility>

#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/part.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/vector_input.hpp>

/// \file
/// Parallel contexts: several contexts that do not see each other, and a task that sees all.

namespace heed::inline HEED_ARCHITECTURE {

/// The type of heed::parallel_contexts(offsets). It reads the offsets when it is made.
///
/// It needs no on_row: contexts are told by indices, and an interval says it all.
class parallel_contexts_mask : public mask_base {
  public:
    static constexpr bool is_interval = true;

    explicit parallel_contexts_mask(detail::document_offsets contexts)
        : contexts_(std::move(contexts)) {}

    void check(const attention_shape& shape) const {
        detail::require_shape(contexts_.end() <= shape.keys,
                              "heed::parallel_contexts: the contexts end at ", contexts_.end(),
                              ", but there are ", shape.keys, " keys");
    }

    key_interval interval(const query_row& i, const attention_shape& shape) const {
        const index own = i.query + shape.keys - shape.queries;  // the query's own key
        if (own < 0) return {0, 0};
        if (own >= contexts_.end()) return {0, own + 1};
        return {contexts_.document(contexts_.document_of(own)).first, own + 1};
    }

  private:
    detail::document_offsets contexts_;
};

/// Parallel contexts (arXiv 2212.10947, kexue 9617): context c is keys offsets[c] … offsets[c + 1]
/// − 1 and sees itself causally; what follows the last context is the task, whose tokens see all
/// contexts, and themselves causally. Query i of N is the token of key i + M − N, so that the
/// task's tokens alone may be the queries. This goes by indices: heed::positions may let all
/// contexts begin at the same position, as the article does.
///
///     auto o = heed::attention(q, k, v, heed::parallel_contexts(offsets),
///                              heed::rotary(rope), heed::positions(p));
///
/// argument_error if the offsets do not begin with 0 or descend; the call throws shape_error if
/// they end beyond the keys.
template <detail::vector_like Offsets>
[[nodiscard]] parallel_contexts_mask parallel_contexts(const Offsets& offsets) {
    return parallel_contexts_mask(detail::document_offsets("heed::parallel_contexts", offsets));
}

}  // namespace heed::inline HEED_ARCHITECTURE
