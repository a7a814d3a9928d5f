#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <heed/attention/part.hpp>
#include <heed/attention/stats.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/nystrom/kernel/nystrom_call.hpp>
#include <heed/nystrom/nystrom_options.hpp>

/// \file
/// What backward needs of a Nyström attention.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// What is kept of a run: its landmarks and what is made of them, and the stats of its attentions.
template <class Scalar, class Normaliser>
struct nystrom_run_stats {
    nystrom_run run{};
    std::vector<Scalar, uninitialised_allocator<Scalar>> numbers;  ///< landmark_memory's
    stats<Scalar, Normaliser> of_landmarks, among_landmarks, of_queries;
};

}  // namespace detail

/// What nystrom_attention_forward keeps for nystrom_attention_backward: landmarks, what they say of
/// one another and its pseudo-inverse, and the stats of the attentions; O(batch·heads·(queries +
/// landmarks·(landmarks + dim + value_dim))) numbers. Nothing is allocated when an object is used
/// again for the same shapes and lengths.
///
/// They are those of one call that has ended; of none before it and after it has thrown.
template <class Scalar, class Normaliser>
class nystrom_stats {
  public:
    using run_stats = detail::nystrom_run_stats<Scalar, Normaliser>;

    /// For the kernels: the stats of no call until it has ended.
    void begin() {
        shape_.reset();
        runs_ = 0;
    }
    /// Room for one more run.
    run_stats& open(const detail::nystrom_run& run) {
        if (runs_ == kept_.size()) kept_.emplace_back();
        kept_[runs_].run = run;
        return kept_[runs_++];
    }
    void end(const attention_shape& shape, const nystrom_options& options) {
        shape_ = shape;
        options_ = options;
    }

    /// Those of the i-th run. shape_error unless it was this one.
    const run_stats& of(std::size_t i, const detail::nystrom_run& run) const {
        detail::require_shape(i < runs_ && i < kept_.size() && kept_[i].run == run,
                              "stats are those of sequences of other lengths");
        return kept_[i];
    }

    /// Refuses what are not the stats of a call of this shape with these options.
    void check(const attention_shape& shape, const nystrom_options& options) const {
        detail::require_argument(shape_.has_value() && runs_ <= kept_.size(),
                                 "stats are those of no call: nystrom_attention_forward fills "
                                 "them");
        detail::require_shape(*shape_ == shape,
                              "stats are those of a call of another shape than q, k and v");
        detail::require_argument(options_ == options,
                                 "stats are those of a call with other options");
    }

  private:
    std::vector<run_stats> kept_;  // the first runs_ of them
    std::size_t runs_ = 0;
    std::optional<attention_shape> shape_;
    nystrom_options options_;
};

}  // namespace heed::inline HEED_ARCHITECTURE
