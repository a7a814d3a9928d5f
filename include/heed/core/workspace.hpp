#pragma once

#include <cstddef>
#include <deque>

#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/role.hpp>
#include <heed/core/task_loop.hpp>

/// \file
/// The scratch memory of a call: an arena for each thread that takes part.

namespace heed::inline HEED_ARCHITECTURE {

namespace detail {

/// A piece of a call's work: the `index`-th of a step of a part of the call.
struct work_piece {
    heed::index part;
    int step;
    heed::index index;
};

/// Told, by the thread that does it, of every piece of the work of a workspace's calls: for
/// measurements of how busy threads are.
class work_watch {
  public:
    virtual void begin(const work_piece& piece) = 0;
    virtual void end() = 0;

  protected:
    ~work_watch() = default;
};

}  // namespace detail

/// The scratch memory of one call at a time, kept from call to call: `slot(0)` is the caller's
/// arena, the others are those of its helpers in a parallel loop.
///
/// Calls that run at the same time need a workspace each; so does a call made from inside a user's
/// function on another thread. Without heed::in each thread uses its own, which is always right.
class workspace {
  public:
    workspace() = default;
    ~workspace() {
        if (loop_ != nullptr) loop_->let_go();
    }
    workspace(const workspace&) = delete;
    workspace& operator=(const workspace&) = delete;

    arena& slot(index i) { return slots_[static_cast<std::size_t>(i)]; }
    index slots() const noexcept { return static_cast<index>(slots_.size()); }

    /// Makes slots 0 … count − 1 usable; slots in use stay where they are.
    void reserve_slots(index count) {
        while (slots() < count) slots_.emplace_back();
    }

    /// Returns all memory to the system. No call may be running.
    void clear() noexcept {
        for (arena& memory : slots_) memory.clear();
    }

    /// The control block of this workspace's parallel loops.
    detail::task_loop& loop() {
        if (loop_ == nullptr) loop_ = detail::task_loop::create();
        return *loop_;
    }

    /// Who is told of pieces of work; null if nobody is.
    detail::work_watch* watch() const noexcept { return watch_; }
    void watch(detail::work_watch* who) noexcept { watch_ = who; }

  private:
    std::deque<arena> slots_ = std::deque<arena>(1);
    detail::task_loop* loop_ = nullptr;
    detail::work_watch* watch_ = nullptr;
};

/// The calling thread's own workspace.
inline workspace& thread_workspace() {
    thread_local workspace own;
    return own;
}

/// A part: use this scratch memory instead of the thread's own.
struct in_workspace {
    using role = heed::role::memory;
    workspace* memory;
};

/// Scratch memory for this call: `heed::attention_into(o, q, k, v, heed::in(scratch))`.
inline in_workspace in(workspace& memory) { return {&memory}; }

}  // namespace heed::inline HEED_ARCHITECTURE
