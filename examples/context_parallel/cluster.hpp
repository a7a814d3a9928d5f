#pragma once

#include <cstddef>
#include <cstdint>
#include <mpi.h>
#include <span>
#include <vector>

/// \file
/// The ranks that share a sequence, and what they send one another. Whatever goes wrong in MPI ends
/// all ranks with a message: that is MPI's own way with errors, and nobody waits for a dead rank.

namespace context_parallel {

/// What a rank has spent, in seconds, and sent.
struct account {
    double computing = 0, waiting = 0;
    std::int64_t bytes_sent = 0;
};

/// MPI, from its beginning to its end.
class cluster {
  public:
    cluster(int& count, char**& arguments);
    ~cluster();
    cluster(const cluster&) = delete;
    cluster& operator=(const cluster&) = delete;

    int rank() const { return rank_; }
    int size() const { return size_; }
    int next() const { return (rank_ + 1) % size_; }
    int previous() const { return (rank_ + size_ - 1) % size_; }

    /// Says why and ends all ranks.
    [[noreturn]] void fail(const char* why) const;

    /// The largest number that any rank has, on all ranks; NaN if one has NaN.
    double largest(double x) const;
    /// The sum of all ranks' numbers, on all ranks.
    double sum(double x) const;
    void sum(std::span<float> numbers) const;
    void wait_for_all() const;
    /// Rank 0's numbers on all ranks.
    void broadcast(std::span<float> numbers) const;
    /// Those of all ranks, on rank 0; elsewhere none.
    std::vector<account> collect(const account& own) const;

  private:
    int rank_ = 0, size_ = 1;
};

/// Numbers on their way to another rank, or from one, while this one computes. They stay where they
/// are until wait() returns.
class transfer {
  public:
    transfer() = default;
    static transfer send(std::span<const std::byte> from, int to, int tag, account& of);
    static transfer receive(std::span<std::byte> to, int from, int tag);
    transfer(transfer&&) = default;
    transfer& operator=(transfer&&) = default;

    /// MPI may only move numbers while it is called: so call it between two pieces of work.
    void progress();
    /// Until all have arrived; the time counts as waiting.
    void wait(account& of);

  private:
    std::vector<MPI_Request> requests_;
};

}  // namespace context_parallel
