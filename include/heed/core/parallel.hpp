#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <memory>
#include <type_traits>

#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/core/architecture.hpp>
#include <heed/core/role.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// Parallel loops on the caller's thread pool.

namespace heed::inline HEED_ARCHITECTURE {

/// A part: run on this pool's threads and on the caller's own.
struct on_pool {
    using role = heed::role::threads;
    Eigen::ThreadPoolInterface* pool;
    /// Floating-point operations that attention must have for each thread: with less to do it wakes
    /// fewer of them, or none. It never changes a result.
    double least_work = 4e6;
};

namespace detail {

/// Eigen::ThreadPoolDevice, say, without the need to know it.
template <class Device>
concept has_pool = requires(Device& device) {
    { device.getPool() } -> std::convertible_to<Eigen::ThreadPoolInterface*>;
};

}  // namespace detail

/// Threads for this call: an Eigen::ThreadPool, any Eigen::ThreadPoolInterface, or a device that
/// has one. The pool must outlive the call, no more.
inline on_pool on(Eigen::ThreadPoolInterface& pool) { return {.pool = &pool}; }
template <detail::has_pool Device>
on_pool on(Device& device) {
    return {.pool = device.getPool()};
}

namespace detail {

/// After a loop: room in every slot for the largest of its tasks, whoever ran that one, so that the
/// same loop with the tasks dealt out otherwise allocates nothing.
inline void level_slots(workspace& scratch, index participants, std::size_t callers_share) {
    std::size_t largest_task = scratch.slot(0).peak() - callers_share;
    for (index i = 1; i < participants; ++i) {
        largest_task = std::max(largest_task, scratch.slot(i).peak());
    }
    scratch.slot(0).require(callers_share + largest_task);
    for (index i = 1; i < participants; ++i) scratch.slot(i).require(largest_task);
}

/// for_each_task of a function that is no longer a type: run(f, slot, task).
inline void run_tasks(Eigen::ThreadPoolInterface* pool, workspace& scratch, index count,
                      task_loop::body run, void* f, index most_helpers) {
    const index threads = pool != nullptr ? pool->NumThreads() : 0;
    const index helpers = std::min({threads, most_helpers, count - 1});
    if (pool == nullptr || helpers <= 0 || scratch.loop().is_running()) {
        for (index task = 0; task < count; ++task) run(f, 0, task);
        return;
    }

    scratch.reserve_slots(helpers + 1);
    for (index i = 0; i <= helpers; ++i) scratch.slot(i).watch_peak();
    const std::size_t callers_share = scratch.slot(0).used();
    task_loop& loop = scratch.loop();
    loop.open(pool, helpers, count, run, f);
    for (index i = 0; i < helpers; ++i) {
        // Two pointers: std::function keeps so much without allocating.
        loop.hold();
        pool->Schedule([&loop, pool] { loop.help(pool); });
    }
    loop.work_and_close();
    level_slots(scratch, helpers + 1, callers_share);
}

}  // namespace detail

/// Calls f(slot, task) once for each task 0 … count − 1, on the calling thread, as slot 0, and on
/// up to min(threads of the pool, count − 1, most_helpers) of the pool's, as slots 1, 2, …; without
/// a pool on the calling thread alone. `scratch` has an arena for each slot, and no two calls of f
/// that run at the same time share a slot.
///
/// Tasks are started in increasing order. The caller waits for tasks that have been started, never
/// for a thread to become free: a call from inside a worker of the same pool returns. A loop inside
/// a task with the same workspace runs on its thread alone. The first exception of a task is thrown
/// here, and tasks not yet started are dropped. Threads of the pool run under the caller's
/// floating-point mode. From the second loop of a kind on, nothing is allocated.
template <class F>
requires std::invocable<F&, index, index>
void for_each_task(Eigen::ThreadPoolInterface* pool, workspace& scratch, index count, F&& f,
                   index most_helpers = std::numeric_limits<index>::max()) {
    using function = std::remove_reference_t<F>;
    detail::run_tasks(
        pool, scratch, count,
        [](void* any, index slot, index task) { (*static_cast<function*>(any))(slot, task); },
        const_cast<void*>(static_cast<const void*>(std::addressof(f))), most_helpers);
}

}  // namespace heed::inline HEED_ARCHITECTURE
