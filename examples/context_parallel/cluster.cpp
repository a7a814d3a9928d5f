#include "cluster.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace context_parallel {

namespace {

/// MPI counts in int: what is longer goes in pieces.
constexpr std::size_t longest_message = std::size_t(1) << 30;

/// f(bytes, count) of each piece.
template <class Byte, class F>
void for_each_piece(std::span<Byte> bytes, F&& f) {
    for (std::size_t first = 0; first < bytes.size(); first += longest_message) {
        const auto piece = bytes.subspan(first, std::min(longest_message, bytes.size() - first));
        f(piece.data(), static_cast<int>(piece.size()));
    }
}

}  // namespace

cluster::cluster(int& count, char**& arguments) {
    MPI_Init(&count, &arguments);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
}

cluster::~cluster() { MPI_Finalize(); }

void cluster::fail(const char* why) const {
    std::fprintf(stderr, "context_parallel: rank %d of %d: %s\n", rank_, size_, why);
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();  // MPI_Abort does not return
}

double cluster::largest(double x) const {
    // MPI_MAX says nothing of NaN.
    double own = std::isnan(x) ? std::numeric_limits<double>::infinity() : x, result = 0;
    MPI_Allreduce(&own, &result, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return result;
}

double cluster::sum(double x) const {
    MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return x;
}

void cluster::sum(std::span<float> numbers) const {
    for_each_piece(std::as_writable_bytes(numbers), [](std::byte* data, int bytes) {
        MPI_Allreduce(MPI_IN_PLACE, data, bytes / static_cast<int>(sizeof(float)), MPI_FLOAT,
                      MPI_SUM, MPI_COMM_WORLD);
    });
}

void cluster::wait_for_all() const { MPI_Barrier(MPI_COMM_WORLD); }

void cluster::broadcast(std::span<float> numbers) const {
    for_each_piece(std::as_writable_bytes(numbers), [](std::byte* data, int count) {
        MPI_Bcast(data, count, MPI_BYTE, 0, MPI_COMM_WORLD);
    });
}

std::vector<account> cluster::collect(const account& own) const {
    std::vector<account> all(rank_ == 0 ? static_cast<std::size_t>(size_) : 0);
    MPI_Gather(&own, sizeof own, MPI_BYTE, all.data(), sizeof own, MPI_BYTE, 0, MPI_COMM_WORLD);
    return all;
}

transfer transfer::send(std::span<const std::byte> from, int to, int tag, account& of) {
    transfer result;
    for_each_piece(from, [&](const std::byte* data, int count) {
        MPI_Isend(data, count, MPI_BYTE, to, tag, MPI_COMM_WORLD,
                  &result.requests_.emplace_back(MPI_REQUEST_NULL));
    });
    of.bytes_sent += static_cast<std::int64_t>(from.size());
    return result;
}

transfer transfer::receive(std::span<std::byte> to, int from, int tag) {
    transfer result;
    for_each_piece(to, [&](std::byte* data, int count) {
        MPI_Irecv(data, count, MPI_BYTE, from, tag, MPI_COMM_WORLD,
                  &result.requests_.emplace_back(MPI_REQUEST_NULL));
    });
    return result;
}

void transfer::progress() {
    int done = 0;
    MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE);
}

void transfer::wait(account& of) {
    const double began = MPI_Wtime();
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
    requests_.clear();
    of.waiting += MPI_Wtime() - began;
}

}  // namespace context_parallel
