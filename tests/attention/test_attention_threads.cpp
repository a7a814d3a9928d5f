#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/attention/attention.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/core/workspace.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>

#include "attention/problem.hpp"
#include "support/attention_kernels.hpp"
#include "support/catch.hpp"

namespace test_attention_threads {

using namespace heed_test;
using heed::index;  // inside a namespace: <strings.h> has a global one

struct users_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A modifier that does nothing to scores until it is told to fail at a place.
struct failing_modifier {
    std::atomic<bool> fails{false}, derivative_fails{false};
    index query = 0, key = 0;

    auto part() {
        return heed::modifier(heed::scalar([this](auto s, index, index, index i, index j) {
                                  if (fails && i == query && j == key)
                                      throw users_error("from the modifier");
                                  return s;
                              }),
                              heed::scalar([this](auto, index, index, index i, index j) {
                                  if (derivative_fails && i == query && j == key)
                                      throw users_error("from its derivative");
                                  return decltype(0.F)(1);
                              }));
    }
};

TEST_CASE("an exception of a user's function in a pool arrives in the caller") {
    generator random(111);
    // One head of several blocks of keys, whose tasks wait for one another's turn; many heads, of
    // which the last are shared; and more threads than tasks.
    using call = std::pair<extents, int>;
    for (const auto& [e, threads] :
         {call{{1, 1, 1, 200, 1300, 4, 4}, 3}, call{{3, 8, 8, 20, 30, 4, 4}, 3},
          call{{3, 3, 3, 110, 530, 4, 4}, 1}, call{{1, 2, 1, 40, 300, 4, 4}, 7}}) {
        INFO(to_string(e) << ", threads " << threads);
        const inputs<float> in(random, e);
        const auto plain = heed::attention(in.q, in.k, in.v);
        Eigen::ThreadPool pool(threads);
        failing_modifier modifier;
        const auto part = modifier.part();
        const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, part, always_on(pool));
        CHECK(same_bits(o, plain));
        const auto backward = [&, &kept_o = o, &kept_stats = stats] {
            return heed::attention_backward(in.d_o, kept_o, kept_stats, in.q, in.k, in.v, part,
                                            always_on(pool));
        };
        const auto expected = backward();

        const index shift = e.keys - e.queries;
        for (int round = 0; round < 8; ++round) {
            modifier.query = shift + random.integer(0, e.queries - 1);
            modifier.key = random.integer(0, e.keys - 1);
            modifier.fails = true;
            CHECK_THROWS_AS(heed::attention(in.q, in.k, in.v, part, always_on(pool)), users_error);
            CHECK_THROWS_AS(backward(), users_error);
            modifier.fails = false;
            modifier.derivative_fails = true;
            CHECK_THROWS_AS(backward(), users_error);
            modifier.derivative_fails = false;
            // The pool is as usable as before, and nothing is left over in scratch memory.
            const auto again = backward();
            CHECK(same_bits(again.q, expected.q));
            CHECK(same_bits(again.k, expected.k));
            CHECK(same_bits(again.v, expected.v));
        }
        modifier.fails = true;
        CHECK_THROWS_WITH(heed::attention(in.q, in.k, in.v, part), "from the modifier");
    }
}

TEST_CASE("an exception of a user's mask, also while scores are counted") {
    generator random(112);
    const inputs<double> in(random, {2, 2, 1, 130, 300, 4, 4});
    Eigen::ThreadPool pool(2);
    const auto mask = heed::mask(heed::scalar([](index i, index j) -> bool {
        if (i == 200 && j == 270) throw users_error("from the mask");
        return true;
    }));
    CHECK_THROWS_AS(heed::attention(in.q, in.k, in.v, mask, always_on(pool)), users_error);
    CHECK_THROWS_AS(heed::attention(in.q, in.k, in.v, mask), users_error);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v);
    CHECK_THROWS_AS(
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, mask, always_on(pool)),
        users_error);
    CHECK(same_bits(o, heed::attention(in.q, in.k, in.v, always_on(pool))));
}

TEST_CASE("a call from inside a pool's worker returns") {
    generator random(113);
    const inputs<float> in(random, {2, 2, 2, 100, 600, 8, 8});
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal);
    for (const int threads : {1, 2}) {
        Eigen::ThreadPool pool(threads);
        // As many calls as threads, and one more: no worker is left to help.
        std::vector<std::future<bool>> results;
        for (int n = 0; n <= threads; ++n) {
            auto task = std::make_shared<std::packaged_task<bool()>>([&, &o = o] {
                const auto own =
                    heed::attention_forward(in.q, in.k, in.v, heed::causal, always_on(pool));
                const auto own_gradient = heed::attention_backward(
                    in.d_o, own.output, own.stats, in.q, in.k, in.v, heed::causal, always_on(pool));
                return same_bits(own.output, o) && same_bits(own_gradient.q, gradient.q) &&
                       same_bits(own_gradient.k, gradient.k) &&
                       same_bits(own_gradient.v, gradient.v);
            });
            results.push_back(task->get_future());
            pool.Schedule([task] { (*task)(); });
        }
        for (auto& result : results) CHECK(result.get());
    }
}

TEST_CASE("calls from many threads at once share a pool") {
    generator random(114);
    const inputs<float> in(random, {2, 2, 1, 70, 600, 8, 8});
    const auto [plain_o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::causal);
    const auto& o = plain_o;
    const auto expected =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::causal);
    Eigen::ThreadPool pool(2);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int n = 0; n < 4; ++n) {
        callers.emplace_back([&] {
            for (int round = 0; round < 5; ++round) {
                const auto own =
                    heed::attention_forward(in.q, in.k, in.v, heed::causal, always_on(pool));
                if (!same_bits(own.output, o)) ++wrong;
                const auto gradient = heed::attention_backward(
                    in.d_o, own.output, own.stats, in.q, in.k, in.v, heed::causal, always_on(pool));
                if (!same_bits(gradient.q, expected.q)) ++wrong;
            }
        });
    }
    for (auto& caller : callers) caller.join();
    CHECK(wrong == 0);
}

TEST_CASE("a user's function may call heed again, on the same pool and workspace") {
    generator random(115);
    const inputs<float> in(random, {1, 2, 1, 30, 600, 8, 8});
    const inputs<float> inner(random, {1, 2, 1, 5, 40, 8, 8});
    const auto expected_inner = heed::attention(inner.q, inner.k, inner.v, heed::causal);
    const auto plain = heed::attention_forward(in.q, in.k, in.v);
    const auto plain_gradient =
        heed::attention_backward(in.d_o, plain.output, plain.stats, in.q, in.k, in.v);
    Eigen::ThreadPool pool(2);
    std::atomic<int> wrong{0}, calls{0};
    const auto call_again = [&](index i, index j) {
        if ((i * 31 + j) % 97 != 0) return;
        ++calls;
        if (!same_bits(heed::attention(inner.q, inner.k, inner.v, heed::causal, always_on(pool)),
                       expected_inner))
            ++wrong;
    };
    const auto modifier = heed::modifier(heed::scalar([&](auto s, index i, index j) {
                                             call_again(i, j);
                                             return s;
                                         }),
                                         heed::scalar([&](auto s, index i, index j) {
                                             call_again(i, j);
                                             return decltype(s)(1);
                                         }));
    heed::workspace memory;
    for (const bool with_pool : {false, true}) {
        const heed::on_pool on{.pool = with_pool ? &pool : nullptr, .least_work = 0};
        for (int round = 0; round < 3; ++round) {
            const auto [o, stats] =
                heed::attention_forward(in.q, in.k, in.v, modifier, on, heed::in(memory));
            const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                           modifier, on, heed::in(memory));
            CHECK(same_bits(o, plain.output));
            CHECK(same_bits(gradient.q, plain_gradient.q));
            CHECK(same_bits(gradient.k, plain_gradient.k));
            CHECK(same_bits(gradient.v, plain_gradient.v));
        }
    }
    CHECK(calls > 1000);
    CHECK(wrong == 0);

    // With the thread's own memory for both.
    const auto o = heed::attention(in.q, in.k, in.v, modifier);
    CHECK(same_bits(o, plain.output));
    CHECK(wrong == 0);
}

/// A pool that counts how often a thread is asked for.
class counting_pool final : public Eigen::ThreadPoolInterface {
  public:
    explicit counting_pool(int threads) : pool_(threads) {}
    void Schedule(std::function<void()> f) override {
        ++asked;
        pool_.Schedule(std::move(f));
    }
    int NumThreads() const override { return pool_.NumThreads(); }
    int CurrentThreadId() const override { return pool_.CurrentThreadId(); }

    int asked = 0;

  private:
    Eigen::ThreadPool pool_;
};

TEST_CASE("a call is one loop") {
    generator random(116);
    const auto check = [&](const extents& e, int threads, int asked_forward, int asked_backward,
                           const auto& normaliser) {
        INFO(to_string(e) << ", threads " << threads);
        const inputs<float> in(random, e);
        counting_pool pool(threads);
        const auto [o, stats] =
            heed::attention_forward(in.q, in.k, in.v, normaliser, always_on(pool));
        CHECK(pool.asked == asked_forward);
        pool.asked = 0;
        const auto gradient = heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v,
                                                       normaliser, always_on(pool));
        CHECK(pool.asked == asked_backward);
    };
    // As many tasks as there are threads, however many heads: each thread is asked for once.
    for (const extents& e : {extents{4, 8, 8, 100, 300, 4, 4}, extents{1, 1, 1, 70, 900, 8, 8},
                             extents{1, 2, 1, 1, 3000, 8, 8}}) {
        check(e, 3, 3, 3, heed::softmax);
        check(e, 3, 3, 3, heed::sparsemax);
    }
}

TEST_CASE("a call too small to share wakes nobody") {
    generator random(117);
    const inputs<float> in(random, {1, 8, 8, 32, 32, 64, 64});
    counting_pool pool(15);
    const auto [o, stats] = heed::attention_forward(in.q, in.k, in.v, heed::on(pool));
    CHECK(pool.asked == 0);
    const auto gradient =
        heed::attention_backward(in.d_o, o, stats, in.q, in.k, in.v, heed::on(pool));
    CHECK(pool.asked == 0);
    const inputs<float> more(random, {1, 64, 64, 32, 32, 64, 64});
    const auto of_more = heed::attention(more.q, more.k, more.v, heed::on(pool));
    CHECK(pool.asked == 5);  // 25 million operations, 4 a thread
    pool.asked = 0;
    // What streams memory is worth many threads, though it multiplies little.
    const inputs<float> decode(random, {1, 16, 16, 1, 8192, 64, 64});
    const auto last = heed::attention(decode.q, decode.k, decode.v, heed::on(pool));
    CHECK(pool.asked == 15);
}

}  // namespace test_attention_threads
