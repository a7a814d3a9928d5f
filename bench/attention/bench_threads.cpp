#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <limits>
#include <tuple>
#include <vector>

#include <benchmark/benchmark.h>

#include <heed/attention/attention.hpp>
#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/attention/kernel/schedule/query_blocks.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/core/tiles.hpp>
#include <heed/core/workspace.hpp>

#include "support/backward_of.hpp"
#include "support/by_turns.hpp"
#include "support/multiply_add_limit.hpp"
#include "support/problem.hpp"

/// \file
/// How busy a call keeps its threads, for more of them than the machine has: each piece of work is
/// timed where it runs alone, then the tasks are dealt out to so many threads on paper. `busy` is
/// the share of the threads' time in which they work; `busy_in_waves` that of heads packed and
/// worked on a few at a time, all threads waiting for each step's end. And what a pool costs a call
/// that is too small for it: `of_alone`, the time over that without one.

namespace {

using namespace heed_bench;
using heed::index;

/// The seconds of each piece of a call.
class stopwatch final : public heed::detail::work_watch {
  public:
    using clock = std::chrono::steady_clock;

    void begin(const heed::detail::work_piece& piece) override {
        const auto at = static_cast<std::size_t>(piece.index);
        steps.resize(std::max(steps.size(), static_cast<std::size_t>(piece.step) + 1));
        auto& pieces = steps[static_cast<std::size_t>(piece.step)];
        pieces.resize(std::max(pieces.size(), at + 1));
        now_ = &pieces[at];
        start_ = clock::now();
    }
    void end() override {
        now_->push_back(std::chrono::duration<double>(clock::now() - start_).count());
    }

    /// Of each step and piece the least over all heads and runs: what else the machine does is not
    /// the schedule's.
    std::vector<std::vector<double>> least() const {
        std::vector<std::vector<double>> all;
        for (const auto& pieces : steps) {
            all.emplace_back();
            for (const auto& times : pieces)
                all.back().push_back(*std::min_element(times.begin(), times.end()));
        }
        return all;
    }

  private:
    std::vector<std::vector<std::vector<double>>> steps;
    std::vector<double>* now_ = nullptr;
    clock::time_point start_;
};

/// Threads that do what tasks say, on paper.
class simulation {
  public:
    enum kind { run, wait, count_up, join };
    struct action {
        kind what;
        double seconds = 0;       ///< run
        std::size_t counter = 0;  ///< waited for, counted up; of pieces that are done
        index value = 0;          ///< waited for
        std::size_t taken = 0;    ///< join: the counter of pieces that are taken
        const std::vector<double>* pieces = nullptr;  ///< join
    };
    using task = std::vector<action>;

    explicit simulation(index threads) : threads_(static_cast<std::size_t>(threads)) {}

    std::size_t new_counter() {
        counters_.push_back(0);
        return counters_.size() - 1;
    }

    /// One loop, and all threads wait for its end.
    void loop(index count, const std::function<task(index)>& make) {
        index next = 0;
        for (;;) {
            thread* first = nullptr;  // of those who can go on
            for (thread& t : threads_) {
                const bool has_more = !t.todo.empty() || next < count;
                const bool waits = !t.todo.empty() && t.todo.front().what == wait &&
                                   counters_[t.todo.front().counter] != t.todo.front().value;
                if (has_more && !waits && (first == nullptr || t.now < first->now)) first = &t;
            }
            if (first == nullptr) break;
            if (first->todo.empty()) {
                const task all = make(next++);
                first->todo.assign(all.begin(), all.end());
            } else {
                act(*first);
            }
        }
        double end = 0;
        for (const thread& t : threads_) end = std::max(end, t.now);
        for (thread& t : threads_) t.now = end;
    }

    /// The share of the threads' time in which they worked.
    double busy() const {
        return worked_ / (threads_.front().now * static_cast<double>(threads_.size()));
    }

  private:
    struct thread {
        double now = 0;
        std::deque<action> todo;
    };

    void act(thread& t) {
        const action at = t.todo.front();
        t.todo.pop_front();
        if (at.what == run) {
            t.now += at.seconds;
            worked_ += at.seconds;
        } else if (at.what == count_up) {
            ++counters_[at.counter];
            for (thread& other : threads_)  // who waited for this comes to be now
                if (!other.todo.empty() && other.todo.front().what == wait &&
                    other.todo.front().counter == at.counter &&
                    counters_[at.counter] == other.todo.front().value)
                    other.now = std::max(other.now, t.now);
        } else if (at.what == join) {
            const auto all = static_cast<index>(at.pieces->size());
            if (counters_[at.taken] == all) {
                t.todo.push_front({.what = wait, .counter = at.counter, .value = all});
                return;
            }
            const auto piece = static_cast<std::size_t>(counters_[at.taken]++);
            t.todo.push_front(at);
            t.todo.push_front({.what = count_up, .counter = at.counter});
            t.todo.push_front({.what = run, .seconds = (*at.pieces)[piece]});
        }
    }

    std::vector<thread> threads_;
    std::vector<index> counters_;
    double worked_ = 0;
};

/// A call on paper: steps of each head, the last of which is its work.
struct timed_call {
    index heads;
    std::vector<std::vector<double>> steps;
    index tiles = 0;  ///< blocks of queries that add up in order, if any
    std::function<bool(index tile, index piece)> sees;  ///< whether they meet

    const std::vector<double>& work() const { return steps.back(); }
    index pieces() const { return static_cast<index>(work().size()); }

    /// Counters of one head: those of its tiles' turns.
    std::vector<std::size_t> new_turns(simulation& on) const {
        std::vector<std::size_t> turns;
        for (index tile = 0; tile < tiles; ++tile) turns.push_back(on.new_counter());
        return turns;
    }

    /// A piece of work: a tile after the other, of whose time a half comes before its turn to add
    /// to dq, and a fifth is that sum.
    void add_work(index piece, const std::vector<std::size_t>& turns, simulation::task& to) const {
        const double seconds = work()[static_cast<std::size_t>(piece)];
        if (tiles == 0) return to.push_back({.what = simulation::run, .seconds = seconds});
        index met = 0;
        for (index tile = 0; tile < tiles; ++tile) met += sees(tile, piece) ? 1 : 0;
        for (index tile = 0; tile < tiles; ++tile) {
            if (!sees(tile, piece)) continue;
            const double of_tile = seconds / static_cast<double>(met);
            const std::size_t turn = turns[static_cast<std::size_t>(tile)];
            to.push_back({.what = simulation::run, .seconds = 0.5 * of_tile});
            to.push_back({.what = simulation::wait, .counter = turn, .value = piece});
            to.push_back({.what = simulation::run, .seconds = 0.2 * of_tile});
            to.push_back({.what = simulation::count_up, .counter = turn});
            to.push_back({.what = simulation::run, .seconds = 0.3 * of_tile});
        }
    }
};

/// As deal_heads does it.
double busy(const timed_call& call, const heed::detail::head_deal& deal, index threads) {
    simulation on(threads);
    struct shared {
        std::vector<std::size_t> taken, ready, turns;
        std::size_t done;
    };
    std::vector<shared> heads;
    for (index i = 0; i < deal.shared; ++i) {
        heads.push_back({{}, {}, call.new_turns(on), on.new_counter()});
        for (std::size_t step = 0; step + 1 < call.steps.size(); ++step) {
            heads.back().taken.push_back(on.new_counter());
            heads.back().ready.push_back(on.new_counter());
        }
    }
    const auto get_ready = [&](index i, simulation::task& to) {
        const shared& head = heads[static_cast<std::size_t>(i)];
        if (i >= deal.buffers)
            to.push_back({.what = simulation::wait,
                          .counter = heads[static_cast<std::size_t>(i - deal.buffers)].done,
                          .value = deal.pieces});
        for (std::size_t step = 0; step + 1 < call.steps.size(); ++step)
            to.push_back({.what = simulation::join,
                          .counter = head.ready[step],
                          .taken = head.taken[step],
                          .pieces = &call.steps[step]});
    };
    on.loop(deal.count(), [&](index number) {
        simulation::task to;
        if (number < deal.whole) {
            double seconds = 0;
            for (const auto& step : call.steps)
                for (const double piece : step) seconds += piece;
            to.push_back({.what = simulation::run, .seconds = seconds});
        } else if (number - deal.whole < deal.shared * deal.pieces) {
            const auto [i, piece] = deal[number - deal.whole];
            get_ready(i, to);
            call.add_work(piece, heads[static_cast<std::size_t>(i)].turns, to);
            to.push_back(
                {.what = simulation::count_up, .counter = heads[static_cast<std::size_t>(i)].done});
        } else {
            for (index i = deal.shared - deal.buffers; i < deal.shared; ++i) get_ready(i, to);
        }
        return to;
    });
    return on.busy();
}

/// Waves of `wave` heads, each step of which is a loop; whole heads are tasks where there are two a
/// thread and sums are in order.
double busy_in_waves(const timed_call& call, index wave, index threads) {
    simulation on(threads);
    for (index first = 0; first < call.heads; first += wave) {
        const index heads = std::min(wave, call.heads - first);
        for (std::size_t step = 0; step + 1 < call.steps.size(); ++step) {
            const auto& pieces = call.steps[step];
            const auto count = static_cast<index>(pieces.size());
            on.loop(heads * count, [&](index number) {
                const double seconds = pieces[static_cast<std::size_t>(number % count)];
                return simulation::task{{.what = simulation::run, .seconds = seconds}};
            });
        }
        std::vector<std::vector<std::size_t>> turns;
        for (index i = 0; i < heads; ++i) turns.push_back(call.new_turns(on));
        const bool whole = call.tiles > 0 && heads >= 2 * threads;
        on.loop(whole ? heads : heads * call.pieces(), [&](index number) {
            simulation::task to;
            const index begin = whole ? number * call.pieces() : number;
            for (index n = begin; n < begin + (whole ? call.pieces() : 1); ++n)
                call.add_work(n % call.pieces(), turns[static_cast<std::size_t>(n / call.pieces())],
                              to);
            return to;
        });
    }
    return on.busy();
}

/// All heads are alike: a few stand for all.
constexpr std::ptrdiff_t heads_timed = 4;

/// Runs a call on this thread alone and times its pieces.
template <class Call>
std::vector<std::vector<double>> time_pieces(benchmark::State& state, heed::workspace& memory,
                                             Call&& call) {
    call();  // pages, caches and scratch memory
    stopwatch watch;
    memory.watch(&watch);
    for (auto _ : state) call();
    memory.watch(nullptr);
    return watch.least();
}

template <class... Parts>
void backward_threads(benchmark::State& state, const Parts&... parts) {
    constexpr index keys = heed::detail::key_block<float>;
    constexpr index rows = heed::detail::tiles.backward_block;
    const index n = state.range(1), threads = state.range(3);
    problem<float> in(square(heads_timed, n, state.range(2)));
    heed::workspace memory;
    auto work = backward_of(in, parts..., heed::in(memory));
    timed_call call{
        .heads = state.range(0), .steps = time_pieces(state, memory, work), .tiles = 0, .sees = {}};
    call.tiles = heed::detail::count_blocks(n, rows);
    call.sees = [&](index tile, index piece) {
        return sizeof...(Parts) == 0 || piece * keys < std::min((tile + 1) * rows, n);
    };
    auto deal = heed::detail::deal_whole_heads(call.heads, threads);
    deal.pieces = call.pieces();
    state.counters["busy"] = busy(call, deal, threads);
    state.counters["busy_in_waves"] =
        busy_in_waves(call, std::min(call.heads, 2 * threads), threads);
}
void backward_full(benchmark::State& state) { backward_threads(state); }
void backward_causal(benchmark::State& state) { backward_threads(state, heed::causal); }

void forward_full(benchmark::State& state) {
    const index n = state.range(1), threads = state.range(3);
    problem<float> in(square(heads_timed, n, state.range(2)));
    heed::workspace memory;
    const auto steps = time_pieces(
        state, memory, [&] { heed::attention_into(in.o, in.q, in.k, in.v, heed::in(memory)); });
    timed_call call{.heads = state.range(0), .steps = steps, .tiles = 0, .sees = {}};
    // Blocks of fewer queries where threads would wait for the last.
    const heed::attention_shape shape{.batch = 1,
                                      .heads = call.heads,
                                      .kv_heads = call.heads,
                                      .queries = n,
                                      .keys = n,
                                      .dim = state.range(2),
                                      .value_dim = state.range(2)};
    const index rows = heed::detail::queries_a_task(shape, threads);
    if (rows < heed::detail::tiles.query_block) {
        std::vector<double> halves;
        for (const double piece : call.steps.back())
            for (int half = 0; half < 2; ++half) halves.push_back(piece / 2);
        call.steps.back() = halves;
    }
    auto deal = heed::detail::deal_forward<float>(shape, threads);
    deal.pieces = call.pieces();
    const index cached = heed::detail::cached_head_bytes / heed::detail::head_bytes<float>(shape);
    const index wave = std::max<index>(1, cached) * threads;
    state.counters["busy"] = busy(call, deal, threads);
    state.counters["busy_in_waves"] = busy_in_waves(call, std::min(call.heads, wave), threads);
}

/// 64 heads of n = 32 with a pool that has so many threads.
void small_forward(benchmark::State& state) {
    problem<float> in(square(64, 32, 64));
    team threads(state.range(0));
    state.counters["of_alone"] = time_over(
        state, [&] { heed::attention_into(in.o, in.q, in.k, in.v, threads.part()); },
        [&] { heed::attention_into(in.o, in.q, in.k, in.v); });
}
void small_backward(benchmark::State& state) {
    problem<float> in(square(64, 32, 64));
    team threads(state.range(0));
    state.counters["of_alone"] = time_over(state, backward_of(in, threads.part()), backward_of(in));
}

}  // namespace

BENCHMARK(backward_full)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4, 16, 40}, {2048}, {64}, {2, 4, 8, 16}});
BENCHMARK(backward_causal)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4, 16, 40}, {2048}, {64}, {2, 4, 8, 16}});
BENCHMARK(forward_full)
    ->ArgNames({"heads", "n", "d", "threads"})
    ->ArgsProduct({{4, 40}, {2048}, {64}, {2, 4, 8, 16}});
BENCHMARK(forward_full)->ArgNames({"heads", "n", "d", "threads"})->Args({64, 256, 64, 16});
BENCHMARK(small_forward)->ArgNames({"threads"})->Arg(2)->Arg(16)->UseManualTime();
BENCHMARK(small_backward)->ArgNames({"threads"})->Arg(2)->Arg(16)->UseManualTime();
