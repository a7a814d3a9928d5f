#pragma once

#include <cstddef>
#include <optional>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>

/// \file
/// The threads of a benchmark.

namespace heed_bench {

/// The caller's thread and, if there are to be more, a pool of the others.
class team {
  public:
    explicit team(std::ptrdiff_t threads) : threads_(threads) {
        if (threads > 1) pool_.emplace(static_cast<int>(threads - 1));
    }

    std::ptrdiff_t threads() const { return threads_; }

    /// For a call of heed's; without a pool it runs on the caller's thread.
    heed::on_pool part() { return {pool_ ? &*pool_ : nullptr}; }

    /// f(task) for 0 … count − 1. Tasks are dealt as heed's kernels deal theirs.
    template <class F>
    void each(std::ptrdiff_t count, F f) {
        heed::for_each_task(part().pool, heed::thread_workspace(), count,
                            [&](heed::index, heed::index task) { f(task); });
    }

  private:
    std::ptrdiff_t threads_;
    std::optional<Eigen::ThreadPool> pool_;
};

}  // namespace heed_bench
