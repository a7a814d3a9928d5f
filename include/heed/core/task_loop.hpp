#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

#include <heed/core/architecture.hpp>
#include <heed/core/simd.hpp>

/// \file
/// The control block of parallel loops: who may join, which task is next, what went wrong.

namespace heed::inline HEED_ARCHITECTURE {
namespace detail {

/// This thread's floating-point mode becomes another one for the life of this object.
class float_mode_scope {
  public:
    explicit float_mode_scope(unsigned mode) : own_(float_mode()) { set_float_mode(mode); }
    ~float_mode_scope() { set_float_mode(own_); }
    float_mode_scope(const float_mode_scope&) = delete;
    float_mode_scope& operator=(const float_mode_scope&) = delete;

  private:
    unsigned own_;
};

/// Runs one loop after another over tasks 0 … count − 1, together with helpers that come when they
/// can. A helper is a call of help() on another thread. It joins whatever loop of its pool is open
/// when it arrives: one that comes too late for its own loop helps the next, or leaves. So nobody
/// waits for a helper that has not arrived, and a loop needs no control block of its own.
///
/// The block is counted: its owner and each helper on the way hold it, the last one deletes it.
class task_loop {
  public:
    /// Calls the loop's function: body(function, slot, task).
    using body = void (*)(void* function, index slot, index task);

    task_loop(const task_loop&) = delete;
    task_loop& operator=(const task_loop&) = delete;

    static task_loop* create() { return new task_loop; }
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    void let_go() noexcept {
        if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    /// Whether a loop is running. Asked by the owner's thread only.
    bool is_running() const noexcept { return running_; }

    /// Opens a loop to at most `helpers` helpers from `pool`.
    void open(const void* pool, index helpers, index count, body run, void* function) {
        const std::lock_guard lock(door_);
        running_ = true;
        pool_ = pool;
        free_slots_ = helpers;
        count_ = count;
        run_ = run;
        function_ = function;
        mode_ = float_mode();
        joined_ = 0;
        next_.store(0, std::memory_order_relaxed);
    }

    /// The caller's share: works as slot 0, waits for the helpers that are inside, and throws the
    /// first exception of a task.
    void work_and_close() {
        work(0);
        {
            const std::lock_guard lock(door_);
            pool_ = nullptr;
        }
        for (int n = inside_.load(std::memory_order_acquire); n != 0;
             n = inside_.load(std::memory_order_acquire)) {
            inside_.wait(n, std::memory_order_acquire);
        }
        running_ = false;
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

    /// A helper's share. `pool` is the one that its thread belongs to.
    void help(const void* pool) noexcept {
        if (const index slot = join(pool); slot > 0) {
            {
                const float_mode_scope callers(mode_);
                work(slot);
            }
            inside_.fetch_sub(1, std::memory_order_release);
            inside_.notify_one();
        }
        let_go();
    }

  private:
    task_loop() = default;
    ~task_loop() = default;

    /// The slot of a helper, or 0 if it is not needed.
    index join(const void* pool) noexcept {
        const std::lock_guard lock(door_);
        if (pool_ != pool || joined_ == free_slots_) return 0;
        if (next_.load(std::memory_order_relaxed) >= count_) return 0;
        inside_.fetch_add(1, std::memory_order_relaxed);
        return ++joined_;
    }

    void work(index slot) noexcept {
        try {
            for (index task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
                run_(function_, slot, task);
            }
        } catch (...) {
            next_.store(count_, std::memory_order_relaxed);  // nobody starts another task
            const std::lock_guard lock(door_);
            if (!error_) error_ = std::current_exception();
        }
    }

    std::atomic<index> holders_{1};
    bool running_ = false;

    std::mutex door_;  // guards what follows, but for the atomics
    const void* pool_ = nullptr;
    index free_slots_ = 0;
    index joined_ = 0;
    index count_ = 0;
    body run_ = nullptr;
    void* function_ = nullptr;
    unsigned mode_ = 0;
    std::exception_ptr error_;

    std::atomic<int> inside_{0};              // helpers that joined and have not left
    alignas(64) std::atomic<index> next_{0};  // the next task; on a line of its own
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
