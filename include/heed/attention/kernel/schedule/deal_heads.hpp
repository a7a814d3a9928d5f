#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

#include <heed/attention/kernel/schedule/ordered_sum.hpp>
#include <heed/core/architecture.hpp>
#include <heed/core/arena.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>

/// \file
/// How the heads of a call are dealt out to threads: one loop of tasks a call, without barriers.
///
/// Of many heads, each is one task: its thread packs it into scratch memory of its own and does all
/// of its work. The last ones are shared, a task being a piece of one's work, so that all threads
/// end at the same time. Whoever comes to a shared head first begins to pack it; who comes
/// meanwhile helps. Tasks start in increasing order and wait for what earlier ones do alone:
/// somebody is always running, also where no thread but the caller's ever comes.

namespace heed::inline HEED_ARCHITECTURE::detail {

/// Which tasks there are. A bundle is a kv head, or several that go together.
struct head_deal {
    index whole = 0;    ///< the first bundles: a task each
    index shared = 0;   ///< the others
    index pieces = 1;   ///< tasks of each of those
    index band = 1;     ///< shared bundles that are worked on side by side, piece by piece
    index buffers = 0;  ///< shared bundles that are in memory at the same time; whole bands
    index helpers = 0;  ///< tasks that find no piece left, and help to pack

    index count() const { return whole + shared * pieces + helpers; }

    struct place {
        index bundle;  ///< among the shared ones
        index piece;
    };
    /// The place of the task-th piece of all shared bundles.
    place operator[](index task) const {
        const index first = task / (band * pieces) * band;
        const index width = std::min(band, shared - first);
        const index within = task - first * pieces;
        return {first + within % width, within / width};
    }
};

/// Bundles for so many threads, of which each has one to itself as long as others are left for the
/// rest. What is shared is worked on side by side: so nobody waits for sums in order.
inline head_deal deal_whole_heads(index bundles, index threads) {
    if (threads <= 1) return {.whole = bundles};
    const index shared = std::min(bundles, threads);
    return {.whole = bundles - shared,
            .shared = shared,
            .band = std::max<index>(1, shared),
            .buffers = shared,
            .helpers = shared == 0 ? 0 : threads - 1};
}

/// Bundles that are too large for a core's cache each: one after the other, by all threads.
inline head_deal deal_shared_heads(index bundles, index threads) {
    if (threads <= 1) return {.whole = bundles};
    return {.shared = bundles,
            .buffers = std::min(bundles, threads),
            .helpers = bundles == 0 ? 0 : threads - 1};
}

/// A task that runs, as kernels know it.
struct running_task {
    arena& scratch;
    const bool* failed;  ///< whether another has ended by an exception: then nobody need go on
};

/// Work that threads share as they come.
struct shared_work {
    index next = 0;  ///< the piece that is taken next
    index done = 0;  ///< pieces

    /// f(piece) for those of `count` pieces that nobody has taken; waits for the others. False if
    /// another task failed meanwhile.
    template <class F>
    bool join(index count, const bool* failed, F&& f) {
        const std::atomic_ref<index> taken(next), finished(done);
        if (finished.load(std::memory_order_acquire) == count) return true;
        for (index piece; (piece = taken.fetch_add(1, std::memory_order_relaxed)) < count;) {
            f(piece);
            finished.fetch_add(1, std::memory_order_release);
        }
        return await_turn(&done, count, failed);
    }
};

/// What a kernel does with the heads of a call. Its type is forgotten here, so that the dealing is
/// compiled once; it is asked once a piece.
class head_kernel {
  public:
    static constexpr int most_preparations = 2;

    virtual void* take(index number, arena& scratch) const = 0;
    virtual int preparations() const = 0;
    virtual index prepare_count(int step) const = 0;
    virtual void prepare(void* bundle, index number, int step, index piece,
                         const running_task& task) const = 0;
    virtual index pieces() const = 0;
    virtual void work(void* bundle, index number, index piece, const running_task& task) const = 0;

  protected:
    ~head_kernel() = default;
};

/// head_kernel by a kernel, whose bundles lie in scratch memory.
template <class Kernel>
class head_kernel_of final : public head_kernel {
    using bundle = typename Kernel::bundle;
    static_assert(Kernel::preparations <= most_preparations);

  public:
    explicit head_kernel_of(const Kernel& kernel) : kernel_(kernel) {}

    void* take(index number, arena& scratch) const override {
        return &scratch.make<bundle>(kernel_.take(number, scratch));
    }
    int preparations() const override { return Kernel::preparations; }
    index prepare_count(int step) const override { return kernel_.prepare_count(step); }
    void prepare(void* it, index number, int step, index piece,
                 const running_task& task) const override {
        kernel_.prepare(*static_cast<bundle*>(it), number, step, piece, task);
    }
    index pieces() const override { return kernel_.pieces(); }
    void work(void* it, index number, index piece, const running_task& task) const override {
        kernel_.work(*static_cast<bundle*>(it), number, piece, task);
    }

  private:
    const Kernel& kernel_;
};

/// deal_heads of a kernel whose type is forgotten.
inline void deal_heads_of(Eigen::ThreadPoolInterface* pool, workspace& memory, head_deal deal,
                          index threads, const head_kernel& kernel) {
    deal.pieces = kernel.pieces();
    const int preparations = kernel.preparations();
    struct shared_bundle {
        shared_work steps[head_kernel::most_preparations];
        index done = 0;  ///< pieces of its work
    };
    arena& own = memory.slot(0);
    const arena::scope mark(own);
    void** buffers = own.take<void*>(deal.buffers);
    auto* progress = own.take<shared_bundle>(deal.shared);
    for (index i = 0; i < deal.buffers; ++i) buffers[i] = kernel.take(deal.whole + i, own);
    std::fill_n(progress, static_cast<std::size_t>(deal.shared), shared_bundle());
    bool failed = false;

    const auto watched = [&](index number, int step, index piece, auto&& f) {
        work_watch* watch = memory.watch();
        if (watch != nullptr) watch->begin({number, step, piece});
        f();
        if (watch != nullptr) watch->end();
    };
    const auto prepare = [&](void* it, index number, shared_work* steps, const running_task& task) {
        for (int step = 0; step < preparations; ++step) {
            const auto one = [&](index piece) {
                watched(number, step, piece,
                        [&] { kernel.prepare(it, number, step, piece, task); });
            };
            if (!steps[step].join(kernel.prepare_count(step), task.failed, one)) return false;
        }
        return true;
    };
    const auto work = [&](void* it, index number, index piece, const running_task& task) {
        watched(number, preparations, piece, [&] { kernel.work(it, number, piece, task); });
    };
    const auto do_whole = [&](index number, const running_task& task) {
        shared_bundle alone;
        void* it = kernel.take(number, task.scratch);
        prepare(it, number, alone.steps, task);
        for (index piece = 0; piece < deal.pieces; ++piece) work(it, number, piece, task);
    };
    /// Whether a shared bundle is ready, be it by this thread's help.
    const auto get_ready = [&](index i, const running_task& task) {
        const index before = i - deal.buffers;  // who had the memory
        if (before >= 0 && !await_turn(&progress[before].done, deal.pieces, task.failed))
            return false;
        return prepare(buffers[i % deal.buffers], deal.whole + i, progress[i].steps, task);
    };

    const auto run = [&](index slot, index number) {
        const failure_guard guard(failed);
        arena& scratch = memory.slot(slot);
        const arena::scope task_mark(scratch);
        const running_task task{scratch, &failed};
        if (number < deal.whole) return do_whole(number, task);
        number -= deal.whole;
        if (number < deal.shared * deal.pieces) {
            const auto [i, piece] = deal[number];
            if (!get_ready(i, task)) return;
            work(buffers[i % deal.buffers], deal.whole + i, piece, task);
            std::atomic_ref<index>(progress[i].done).fetch_add(1, std::memory_order_release);
        } else {
            for (index i = deal.shared - deal.buffers; i < deal.shared; ++i)
                if (!get_ready(i, task)) return;
        }
    };
    for_each_task(pool, memory, deal.count(), run, threads - 1);
}

/// Deals the heads of a call out to `threads` threads at most. A kernel has
///
///     bundle take(number, arena)                  memory for one bundle
///     preparations, prepare_count(step)           steps, one after the other, and their pieces
///     prepare(bundle, number, step, piece, task)
///     pieces()                                    of its work
///     work(bundle, number, piece, task)           once it is prepared, pieces in any order, but
///                                                 that one may wait for those before it
///
/// with numbers of bundles from 0; `deal` comes without the pieces.
template <class Kernel>
void deal_heads(Eigen::ThreadPoolInterface* pool, workspace& memory, head_deal deal, index threads,
                const Kernel& kernel) {
    deal_heads_of(pool, memory, deal, threads, head_kernel_of<Kernel>(kernel));
}

}  // namespace heed::inline HEED_ARCHITECTURE::detail
