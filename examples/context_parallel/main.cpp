/// A sequence that no single machine holds: its tokens are dealt out over ranks, and keys and
/// values go round while each rank computes. `mpirun -n 4 context_parallel --help` lists what can
/// be chosen; docs/examples/context_parallel.md says what is seen.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <utility>
#include <vector>

#include "check.hpp"
#include "cluster.hpp"
#include "options.hpp"
#include "ring.hpp"
#include "train_step.hpp"

namespace context_parallel {

namespace {

/// Of one merge a rank, or one term of a sum over ranks: each adds two units of the last place at
/// most.
double bound_for(const cluster& ranks) { return 1e-6 * (2 + ranks.size()); }

/// Compares with one process; whether all is near enough.
bool check(const cluster& ranks, const options& o) {
    const differences of = compare_with_one_process(ranks, o.ring, o.seed);
    const double bound = bound_for(ranks);
    const double worst = std::max({of.o, of.dq, of.dk, of.dv, of.decoded});
    const bool equal = worst <= bound;
    if (ranks.rank() == 0)
        std::printf(
            "%d ranks, %td tokens: largest difference from one process, over the largest number:\n"
            "o %.1e, dq %.1e, dk %.1e, dv %.1e; a decoded token %.1e. %s %.1e.\n",
            ranks.size(), o.ring.tokens, of.o, of.dq, of.dk, of.dv, of.decoded,
            equal ? "All within" : "NOT within", bound);
    return equal;
}

/// Compares a training step with one process's; whether all is near enough.
bool check_step(const cluster& ranks, const options& o) {
    const step_differences of = compare_training_step(ranks, o.ring, o.layers, o.seed);
    const double bound = bound_for(ranks);
    const bool equal = std::max({of.loss, of.gradients, of.weights}) <= bound;
    if (ranks.rank() == 0)
        std::printf(
            "%d ranks, a training step of %td windows of %td tokens, %td layers of %td heads:\n"
            "largest difference from one process, over the largest number:\n"
            "loss %.1e, gradients %.1e, weights %.1e. %s %.1e.\n",
            ranks.size(), o.ring.model.batch, o.ring.tokens, o.layers, o.ring.model.heads, of.loss,
            of.gradients, of.weights, equal ? "All within" : "NOT within", bound);
    return equal;
}

void print_accounts(const char* what, const std::vector<account>& all, double seconds) {
    for (std::size_t rank = 0; rank < all.size(); ++rank)
        std::printf("%-9s%5zu%12.3f%12.3f%12.3f%12.2f\n", what, rank, seconds, all[rank].computing,
                    all[rank].waiting, static_cast<double>(all[rank].bytes_sent) / 1e6);
}

account minus(account a, const account& b) {
    a.computing -= b.computing;
    a.waiting -= b.waiting;
    a.bytes_sent -= b.bytes_sent;
    return a;
}

/// Prints where the time of the fastest round goes.
void measure(const cluster& ranks, const options& o) {
    if (ranks.rank() == 0)
        std::printf("%-9s%5s%12s%12s%12s%12s\n", "", "rank", "seconds", "computing", "waiting",
                    "MB sent");
    std::vector<account> best_forward, best_backward;
    double forward = 0, backward = 0;
    for (int round = 0; round < o.rounds; ++round) {
        auto pieces = random_pieces(ranks, o.ring, o.seed);
        ring_attention ring(ranks, o.ring);
        ranks.wait_for_all();
        const double began = MPI_Wtime();
        const auto found = ring.forward(pieces);
        ranks.wait_for_all();
        const double between = MPI_Wtime();
        const account of_forward = ring.spent();
        std::vector<tensor> d_o;
        for (const attended& one : found) d_o.push_back(one.o);
        ranks.wait_for_all();
        const double again = MPI_Wtime();
        ring.backward(d_o, found, pieces);
        ranks.wait_for_all();
        const double ended = MPI_Wtime();
        auto now_forward = ranks.collect(of_forward);
        auto now_backward = ranks.collect(minus(ring.spent(), of_forward));
        if (round == 0 || between - began < forward) {
            forward = between - began;
            best_forward = std::move(now_forward);
        }
        if (round == 0 || ended - again < backward) {
            backward = ended - again;
            best_backward = std::move(now_backward);
        }
    }
    print_accounts("forward", best_forward, forward);
    print_accounts("backward", best_backward, backward);
}

}  // namespace

}  // namespace context_parallel

int main(int count, char** arguments) {
    context_parallel::cluster ranks(count, arguments);
    try {
        int status = 0;
        const auto options =
            context_parallel::read_options(count, arguments, ranks.rank() == 0, status);
        if (!options) return status;
        if (options->trains) return context_parallel::check_step(ranks, *options) ? 0 : 1;
        if (!options->measures) return context_parallel::check(ranks, *options) ? 0 : 1;
        context_parallel::measure(ranks, *options);
        return 0;
    } catch (const std::exception& error) {
        ranks.fail(error.what());  // the others must not wait for this one
    }
}
