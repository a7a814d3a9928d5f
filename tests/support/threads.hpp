#pragma once

#include <latch>
#include <memory>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/parallel.hpp>

/// \file
/// Threads of a pool, where a test depends on when they begin or that they take part.

namespace heed_test {

/// heed::on(pool), for a call that is too small to be shared by itself.
inline heed::on_pool always_on(Eigen::ThreadPoolInterface& pool) {
    return {.pool = &pool, .least_work = 0};
}

/// Returns when each of the pool's threads runs: a thread's beginning allocates, whenever that is.
inline void await_threads(Eigen::ThreadPoolInterface& pool) {
    const auto all = std::make_shared<std::latch>(pool.NumThreads() + 1);
    for (int i = 0; i < pool.NumThreads(); ++i) pool.Schedule([all] { all->arrive_and_wait(); });
    all->arrive_and_wait();
}

}  // namespace heed_test
