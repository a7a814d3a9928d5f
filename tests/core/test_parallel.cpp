#include <atomic>
#include <cfenv>
#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <heed/core/parallel.hpp>

#include "support/allocations.hpp"
#include "support/catch.hpp"

namespace test_parallel {

std::unique_ptr<Eigen::ThreadPool> pool_of(int threads) {
    return threads > 0 ? std::make_unique<Eigen::ThreadPool>(threads) : nullptr;
}

/// Waits until the pool's threads have done all that was scheduled so far. Each of them has to
/// arrive, so it is of no use while one is blocked.
void drain(Eigen::ThreadPoolInterface& pool) {
    Eigen::Barrier all(static_cast<unsigned>(pool.NumThreads()));
    std::atomic<int> arrived{0};
    for (int i = 0; i < pool.NumThreads(); ++i) {
        pool.Schedule([&] {
            for (++arrived; arrived < pool.NumThreads();) std::this_thread::yield();
            all.Notify();
        });
    }
    all.Wait();
}

/// Keeps every thread of a pool busy for its lifetime.
class blocked {
  public:
    explicit blocked(Eigen::ThreadPoolInterface& pool) {
        for (int i = 0; i < pool.NumThreads(); ++i) {
            pool.Schedule([this] {
                ++busy_;
                while (!over_) std::this_thread::yield();
                --busy_;
            });
        }
        while (busy_ < pool.NumThreads()) std::this_thread::yield();
    }
    ~blocked() {
        over_ = true;
        while (busy_ > 0) std::this_thread::yield();
    }

  private:
    std::atomic<int> busy_{0};
    std::atomic<bool> over_{false};
};

struct device {
    Eigen::ThreadPoolInterface* pool;
    Eigen::ThreadPoolInterface* getPool() const { return pool; }
};

#if defined(__x86_64__)
constexpr unsigned flush_to_zero = 0x8000;  // MXCSR's bit
#elif defined(__aarch64__)
constexpr unsigned flush_to_zero = 1u << 24;  // FPCR's
#else
constexpr unsigned flush_to_zero = 0;
#endif

/// How the thread that asks computes.
struct arithmetic {
    bool flushes, rounds_up;
    bool operator==(const arithmetic&) const = default;
};
arithmetic own_arithmetic() {
    const volatile double least = std::numeric_limits<double>::min(), one = 1, tiny = 1e-30;
    return {least / 2 == 0, one + tiny > 1};
}

TEST_CASE("every task runs exactly once") {
    for (const int threads : {0, 1, 2, 3, 8}) {
        const auto pool = pool_of(threads);
        heed::workspace scratch;
        for (const heed::index count : {0, 1, 2, 7, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
            heed::for_each_task(pool.get(), scratch, count, [&](heed::index, heed::index task) {
                ++runs[static_cast<std::size_t>(task)];
            });
            for (const auto& n : runs) REQUIRE(n == 1);
        }
    }
}

TEST_CASE("tasks start in increasing order") {
    Eigen::ThreadPool pool(3);
    heed::workspace scratch;
    std::vector<heed::index> latest(4, -1);  // of each slot
    std::atomic<bool> ordered{true};
    heed::for_each_task(&pool, scratch, 1000, [&](heed::index slot, heed::index task) {
        heed::index& before = latest[static_cast<std::size_t>(slot)];
        if (task <= before) ordered = false;
        before = task;
    });
    REQUIRE(ordered);
}

TEST_CASE("tasks that run at the same time have slots of their own") {
    for (const int threads : {1, 2, 3, 8}) {
        Eigen::ThreadPool pool(threads);
        heed::workspace scratch;
        for (int repeat = 0; repeat < 20; ++repeat) {
            std::vector<std::atomic<int>> inside(static_cast<std::size_t>(threads) + 1);
            std::atomic<bool> alone{true};
            heed::for_each_task(&pool, scratch, 64, [&](heed::index slot, heed::index) {
                if (slot < 0 || slot > threads || slot >= scratch.slots()) {
                    alone = false;
                    return;
                }
                if (++inside[static_cast<std::size_t>(slot)] != 1) alone = false;
                std::this_thread::yield();
                --inside[static_cast<std::size_t>(slot)];
            });
            REQUIRE(alone);
        }
    }
}

TEST_CASE("helpers really help") {
    Eigen::ThreadPool pool(3);
    heed::workspace scratch;
    std::atomic<int> inside{0};
    // Each of the four tasks waits for the other three: one thread alone would never return.
    heed::for_each_task(&pool, scratch, 4, [&](heed::index, heed::index) {
        for (++inside; inside < 4;) std::this_thread::yield();
    });
    REQUIRE(inside == 4);
}

TEST_CASE("no more threads take part than are asked for") {
    Eigen::ThreadPool pool(3);
    heed::workspace scratch;
    for (const heed::index most : {0, 1, 2}) {
        std::atomic<heed::index> largest_slot{0}, runs{0};
        heed::for_each_task(
            &pool, scratch, 200,
            [&](heed::index slot, heed::index) {
                ++runs;
                heed::index before = largest_slot;
                while (before < slot && !largest_slot.compare_exchange_weak(before, slot)) {
                }
                std::this_thread::yield();
            },
            most);
        REQUIRE(runs == 200);
        REQUIRE(largest_slot <= most);
    }
}

TEST_CASE("a call from inside a worker returns, and so do loops inside tasks") {
    for (const int threads : {1, 2, 3}) {
        Eigen::ThreadPool pool(threads);
        std::atomic<int> runs{0};
        const auto nested = [&](heed::index, heed::index) {
            heed::for_each_task(&pool, heed::thread_workspace(), 10,
                                [&](heed::index, heed::index) { ++runs; });
        };
        std::promise<void> done;
        pool.Schedule([&] {
            heed::for_each_task(&pool, heed::thread_workspace(), 10, nested);
            done.set_value();
        });
        done.get_future().wait();
        REQUIRE(runs == 100);
        heed::for_each_task(&pool, heed::thread_workspace(), 10, nested);
        REQUIRE(runs == 200);
    }
}

TEST_CASE("a loop inside a task, with the same workspace, keeps to slot 0") {
    Eigen::ThreadPool pool(2);
    heed::workspace scratch;
    std::atomic<bool> slot_is_0{true};
    const auto caller = std::this_thread::get_id();
    heed::for_each_task(&pool, scratch, 20, [&](heed::index, heed::index) {
        if (std::this_thread::get_id() != caller) return;
        heed::for_each_task(&pool, scratch, 5, [&](heed::index slot, heed::index) {
            if (slot != 0 || std::this_thread::get_id() != caller) slot_is_0 = false;
        });
    });
    REQUIRE(slot_is_0);
}

TEST_CASE("an exception arrives in the caller once, and the loop can be used again") {
    for (const int threads : {0, 1, 2, 3, 8}) {
        const auto pool = pool_of(threads);
        heed::workspace scratch;
        for (int repeat = 0; repeat < 10; ++repeat) {
            std::atomic<int> runs{0};
            const auto failing = [&](heed::index, heed::index task) {
                ++runs;
                if (task >= 5) throw std::runtime_error("task failed");
            };
            REQUIRE_THROWS_WITH(heed::for_each_task(pool.get(), scratch, 100000, failing),
                                "task failed");
            REQUIRE(runs >= 6);
            REQUIRE(runs <= 6 + threads);  // the others were dropped
            runs = 0;
            REQUIRE_NOTHROW(heed::for_each_task(pool.get(), scratch, 5, failing));
            REQUIRE(runs == 5);
        }
    }
}

TEST_CASE("threads of the pool run under the caller's floating-point mode") {
    Eigen::ThreadPool pool(3);
    heed::workspace scratch;
    const unsigned own = heed::detail::float_mode();
    for (const arithmetic mode : {arithmetic{flush_to_zero != 0, false}, arithmetic{false, true},
                                  arithmetic{flush_to_zero != 0, true}, arithmetic{}}) {
        std::fesetround(mode.rounds_up ? FE_UPWARD : FE_TONEAREST);
        if (mode.flushes) heed::detail::set_float_mode(heed::detail::float_mode() | flush_to_zero);
        std::atomic<int> inside{0}, same{0};
        heed::for_each_task(&pool, scratch, 4, [&](heed::index, heed::index) {
            for (++inside; inside < 4;) std::this_thread::yield();
            if (own_arithmetic() == mode) ++same;
        });
        heed::detail::set_float_mode(own);
        REQUIRE(same == 4);
        // Outside of the loop the workers have their own mode again.
        std::promise<arithmetic> of_worker;
        drain(pool);
        pool.Schedule([&] { of_worker.set_value(own_arithmetic()); });
        REQUIRE(of_worker.get_future().get() == arithmetic{});
    }
}

TEST_CASE("no call waits for a thread that has not come") {
    for (const int threads : {1, 2}) {
        Eigen::ThreadPool pool(threads);
        heed::workspace scratch;
        heed::index runs = 0;
        {
            const blocked other_job(pool);
            for (int repeat = 0; repeat < 3000; ++repeat) {  // more than a queue of the pool holds
                heed::for_each_task(&pool, scratch, 4, [&](heed::index, heed::index) { ++runs; });
            }
        }
        REQUIRE(runs == 12000);
        drain(pool);  // the late helpers found nothing to do
        REQUIRE(runs == 12000);
    }
}

TEST_CASE("a helper may come after the workspace is gone") {
    Eigen::ThreadPool pool(2);
    heed::index runs = 0;
    {
        const blocked other_job(pool);
        heed::workspace scratch;
        heed::for_each_task(&pool, scratch, 4, [&](heed::index, heed::index) { ++runs; });
    }
    drain(pool);
    REQUIRE(runs == 4);
}

TEST_CASE("a late helper does not join a loop of another pool") {
    Eigen::ThreadPool late(1), other(1);
    heed::workspace scratch;
    std::atomic<bool> joined{false};
    std::promise<std::thread::id> id;
    late.Schedule([&] { id.set_value(std::this_thread::get_id()); });
    const std::thread::id late_thread = id.get_future().get();
    auto job = std::make_unique<blocked>(late);
    heed::for_each_task(&late, scratch, 2, [](heed::index, heed::index) {});
    heed::for_each_task(&other, scratch, 100, [&](heed::index, heed::index task) {
        if (task == 0) {
            job.reset();
            drain(late);
        }
        if (std::this_thread::get_id() == late_thread) joined = true;
    });
    REQUIRE_FALSE(joined);
}

TEST_CASE("the second loop allocates nothing, whichever thread runs what") {
    for (const int threads : {1, 2, 3, 8}) {
        Eigen::ThreadPool pool(threads);
        heed::workspace scratch;
        const auto loop = [&] {
            const heed::arena::scope scope(scratch.slot(0));
            scratch.slot(0).take<float>(50000);
            heed::for_each_task(&pool, scratch, 40, [&](heed::index slot, heed::index task) {
                const heed::arena::scope own(scratch.slot(slot));
                for (heed::index i = 0; i < 5; ++i)
                    scratch.slot(slot).take<float>(3000 * task)[0] = 1;
                std::this_thread::yield();
            });
        };
        {
            // The caller alone does all tasks; the helpers have never come.
            const blocked other_job(pool);
            loop();
        }
        const std::size_t before = heed_test::allocations();
        for (int repeat = 0; repeat < 30; ++repeat) loop();
        REQUIRE(heed_test::allocations() == before);
    }
}

TEST_CASE("on() takes pools and devices that have one") {
    Eigen::ThreadPool pool(1);
    Eigen::ThreadPoolInterface& interface = pool;
    device has_one{&pool};
    REQUIRE(heed::on(pool).pool == &pool);
    REQUIRE(heed::on(interface).pool == &pool);
    REQUIRE(heed::on(has_one).pool == &pool);
}

}  // namespace test_parallel
