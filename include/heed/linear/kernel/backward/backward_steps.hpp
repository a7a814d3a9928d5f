#pragma once

#include <algorithm>

#include <heed/core/architecture.hpp>
#include <heed/core/shape.hpp>
#include <heed/linear/kernel/chunk/chunk_products.hpp>
#include <heed/linear/kernel/chunk/chunk_rows.hpp>
#include <heed/linear/kernel/rules/program.hpp>

/// \file
/// The tokens that backward's walks go over.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Which of its two walks backward takes.
struct backward_ways {
    bool forth = true, back = true;
};

/// A run of one head of o, in chunks. All is counted in steps, of which a token has one but by an
/// update of low rank.
class backward_steps {
  protected:
    explicit backward_steps(index steps) : steps_(steps) {}
    ~backward_steps() = default;

    /// A run of tokens whose first query stands at `offset` among its keys, which begin at `first`
    /// in theirs.
    void set(index batch, index head, const sequence_run& run, index offset, index first) {
        batch_ = batch;
        head_ = head;
        run_ = {run.query_first * steps_, run.query_last * steps_, run.key_first * steps_,
                run.key_last * steps_};
        offset_ = offset * steps_;
        first_ = first * steps_;
    }

    template <class F>
    static void for_chunks(index first, index last, const F& f) {
        for (index i = first; i < last; i += chunk_length) f(i, std::min(chunk_length, last - i));
    }
    template <class F>
    static void for_chunks_back(index first, index last, const F& f) {
        for (index end = last; end > first; end -= std::min(chunk_length, end - first)) {
            const index count = std::min(chunk_length, end - first);
            f(end - count, count);
        }
    }

    chunk_tokens key_tokens(index p, index count) const {
        return {batch_, (run_.key_first + p) / steps_, (first_ + p) / steps_, count / steps_};
    }
    chunk_tokens query_tokens(index i, index count) const {
        return {batch_, (run_.query_first + i) / steps_, (first_ + i + offset_) / steps_,
                count / steps_};
    }

    struct some_queries {
        index first, count;
    };
    /// The queries that stand with keys p …
    some_queries queries_with(index p, index count) const {
        const index first = std::max<index>(0, p - offset_);
        const index last = std::min(run_.queries(), p + count - offset_);
        return {first, std::max<index>(0, last - first)};
    }
    /// How many stand before all keys, and the first that stands behind them.
    index before() const { return std::min(run_.queries(), std::max<index>(0, -offset_)); }
    index behind() const { return std::max<index>(0, run_.keys() - offset_); }

    index steps_;
    index batch_ = 0, head_ = 0, offset_ = 0, first_ = 0;
    sequence_run run_{};
};

}  // namespace heed::inline HEED_ARCHITECTURE::detail
