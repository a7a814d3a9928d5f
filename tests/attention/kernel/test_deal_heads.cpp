#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/kernel/schedule/deal_heads.hpp>
#include <heed/core/parallel.hpp>
#include <heed/core/workspace.hpp>

#include "support/catch.hpp"

namespace test_deal_heads {

using heed::index;
using heed::detail::head_deal;

std::vector<head_deal> deals() {
    std::vector<head_deal> all;
    for (const index bundles : {0, 1, 2, 5, 16, 40}) {
        for (const index threads : {1, 2, 3, 8, 16}) {
            for (head_deal deal : {heed::detail::deal_whole_heads(bundles, threads),
                                   heed::detail::deal_shared_heads(bundles, threads)}) {
                for (const index pieces : {1, 3}) {
                    deal.pieces = pieces;
                    all.push_back(deal);
                }
            }
        }
    }
    return all;
}

TEST_CASE("each piece of each shared head is one task, in their order") {
    for (const head_deal& deal : deals()) {
        std::map<index, index> next;  // of each bundle
        for (index task = 0; task < deal.shared * deal.pieces; ++task) {
            const auto [bundle, piece] = deal[task];
            REQUIRE((0 <= bundle && bundle < deal.shared));
            REQUIRE(piece == next[bundle]++);
            // Whoever had a bundle's memory before has had all of its tasks.
            if (bundle >= deal.buffers) REQUIRE(next[bundle - deal.buffers] == deal.pieces);
        }
        for (const auto& [bundle, pieces] : next) REQUIRE(pieces == deal.pieces);
    }
}

TEST_CASE("how many tasks there are, and how many heads in memory") {
    using heed::detail::deal_shared_heads;
    using heed::detail::deal_whole_heads;
    head_deal deal = deal_whole_heads(64, 16);
    deal.pieces = 8;
    CHECK(deal.count() == 48 + 16 * 8 + 15);
    CHECK(deal.buffers == 16);
    deal = deal_whole_heads(4, 16);
    deal.pieces = 8;
    CHECK(deal.count() == 4 * 8 + 15);
    CHECK(deal.buffers == 4);
    deal = deal_shared_heads(64, 16);
    deal.pieces = 22;
    CHECK(deal.count() == 64 * 22 + 15);
    CHECK(deal.buffers == 16);
    for (const auto& alone : {deal_whole_heads(64, 1), deal_shared_heads(64, 1)}) {
        CHECK(alone.count() == 64);
        CHECK(alone.buffers == 0);
    }
}

/// Counts what is done, and whether it was ready.
struct counting_kernel {
    struct bundle {
        index* prepared;  ///< pieces of the first step, of the second
    };
    static constexpr int preparations = 2;

    index piece_count;
    std::vector<std::atomic<int>>& worked;  // [bundle, piece]
    std::atomic<int>& wrong;
    index failing = -1;  // the piece of work that throws

    bundle take(index, heed::arena& scratch) const {
        const bundle to{scratch.take<index>(2)};
        to.prepared[0] = to.prepared[1] = 0;
        return to;
    }
    index prepare_count(int step) const { return step == 0 ? 3 : 2; }
    void prepare(const bundle& to, index, int step, index,
                 const heed::detail::running_task& task) const {
        task.scratch.take<double>(100);
        std::atomic_ref<index> first(to.prepared[0]), second(to.prepared[1]);
        if (step == 1 && first % 3 != 0) ++wrong;
        std::this_thread::yield();
        ++(step == 0 ? first : second);
    }
    index pieces() const { return piece_count; }
    void work(const bundle& from, index number, index piece,
              const heed::detail::running_task&) const {
        std::atomic_ref<index> first(from.prepared[0]), second(from.prepared[1]);
        // Memory that is used again counts on; so nobody may have begun to prepare the next.
        if (first % 3 != 0 || second % 2 != 0 || first / 3 != second / 2 || first == 0) ++wrong;
        std::this_thread::yield();
        if (number * piece_count + piece == failing) throw std::runtime_error("from a piece");
        if (first % 3 != 0 || second % 2 != 0) ++wrong;
        ++worked[static_cast<std::size_t>(number * piece_count + piece)];
    }
};

TEST_CASE("all work is done once, when it is ready, by any number of threads") {
    for (const int helpers : {1, 3, 7}) {
        Eigen::ThreadPool pool(helpers);
        heed::workspace memory;
        for (const head_deal& deal : deals()) {
            const index bundles = deal.whole + deal.shared;
            std::vector<std::atomic<int>> worked(static_cast<std::size_t>(bundles * deal.pieces));
            std::atomic<int> wrong{0};
            counting_kernel kernel{deal.pieces, worked, wrong};
            heed::detail::deal_heads(&pool, memory, deal, helpers + 1, kernel);
            for (const auto& n : worked) REQUIRE(n == 1);
            REQUIRE(wrong == 0);

            // A piece that fails, while others wait for it: nobody waits for ever.
            if (worked.empty()) continue;
            kernel.failing = static_cast<index>(worked.size()) / 2;
            REQUIRE_THROWS_WITH(heed::detail::deal_heads(&pool, memory, deal, helpers + 1, kernel),
                                "from a piece");
        }
    }
}

/// Remembers the pieces that it is told of.
struct remembering_watch final : heed::detail::work_watch {
    std::map<int, int> pieces;  // of each step
    int open = 0;

    void begin(const heed::detail::work_piece& piece) override {
        ++pieces[piece.step];
        ++open;
    }
    void end() override { --open; }
};

TEST_CASE("a watch is told of every piece") {
    heed::workspace memory;
    remembering_watch watch;
    memory.watch(&watch);
    head_deal deal = heed::detail::deal_whole_heads(5, 1);
    deal.pieces = 4;
    std::vector<std::atomic<int>> worked(20);
    std::atomic<int> wrong{0};
    heed::detail::deal_heads(nullptr, memory, deal, 1, counting_kernel{4, worked, wrong});
    CHECK(watch.pieces == std::map<int, int>{{0, 15}, {1, 10}, {2, 20}});
    CHECK(watch.open == 0);
}

}  // namespace test_deal_heads
