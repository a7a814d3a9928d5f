#pragma once

#include <algorithm>
#include <atomic>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include "matrix.hpp"

namespace char_lm {

/// A few threads that share out numbered tasks; the thread that asks works too.
class team {
  public:
    explicit team(int threads) : size_(threads), helpers_(std::max(1, threads - 1)) {}

    [[nodiscard]] int size() const { return size_; }

    /// Calls `work(member, task)` for every task in [0, count), and returns when all are done. Who
    /// takes which task is chance: results must depend on the task alone, scratch on the member.
    template <class Work>
    void share(index count, Work work) {
        std::atomic<index> next{0};
        const auto take = [&](int member) {
            for (index task = next++; task < count; task = next++) work(member, task);
        };
        const int helpers = static_cast<int>(std::min<index>(size_ - 1, count - 1));
        Eigen::Barrier done(static_cast<unsigned>(std::max(0, helpers)));
        for (int helper = 1; helper <= helpers; ++helper)
            helpers_.Schedule([&, helper] {
                take(helper);
                done.Notify();
            });
        take(0);
        done.Wait();
    }

  private:
    int size_;
    Eigen::ThreadPool helpers_;
};

}  // namespace char_lm
