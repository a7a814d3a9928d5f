#pragma once

#include <atomic>
#include <exception>
#include <thread>

#include <heed/core/architecture.hpp>

/// \file
/// Turns: tasks that add to the same sum do so in one order, whatever order they run in.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Waits until it is the turn of this number; false if another task failed meanwhile.
inline bool await_turn(index* turn, index number, const bool* failed) {
    while (std::atomic_ref<index>(*turn).load(std::memory_order_acquire) != number) {
        if (std::atomic_ref<bool>(const_cast<bool&>(*failed)).load(std::memory_order_relaxed))
            return false;
        std::this_thread::yield();
    }
    return true;
}

/// Tells those who wait for a turn that a task has ended by an exception.
class failure_guard {
  public:
    explicit failure_guard(bool& failed) : failed_(failed) {}
    ~failure_guard() {
        if (std::uncaught_exceptions() > before_) std::atomic_ref<bool>(failed_).store(true);
    }
    failure_guard(const failure_guard&) = delete;
    failure_guard& operator=(const failure_guard&) = delete;

  private:
    bool& failed_;
    int before_ = std::uncaught_exceptions();
};

inline void pass_turn(index* turn) {
    std::atomic_ref<index>(*turn).fetch_add(1, std::memory_order_release);
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
