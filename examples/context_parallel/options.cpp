#include "options.hpp"

#include <map>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>

namespace context_parallel {

std::optional<options> read_options(int count, char** arguments, bool says, int& status) {
    options o;
    bool full = false, waits = false;
    CLI::App app(
        "Attention over a sequence that several ranks hold together: mpirun -n 4 "
        "context_parallel.");
    app.add_flag("--measure", o.measures, "time the ring instead of comparing it with one process");
    app.add_option("--rounds", o.rounds, "how often a measurement is taken")
        ->check(CLI::PositiveNumber);
    app.add_option("--tokens", o.ring.tokens, "of the whole sequence, 500 unless said")
        ->check(CLI::PositiveNumber);
    app.add_option("--batch", o.ring.model.batch)->check(CLI::PositiveNumber);
    app.add_option("--heads", o.ring.model.heads, "of the queries")->check(CLI::PositiveNumber);
    app.add_option("--kv-heads", o.ring.model.kv_heads, "of the keys")->check(CLI::PositiveNumber);
    app.add_option("--dim", o.ring.model.dim, "of a head, even")->check(CLI::PositiveNumber);
    app.add_option("--placement", o.ring.placed, "zig_zag unless said")
        ->transform(CLI::CheckedTransformer(std::map<std::string, placement>{
            {"contiguous", placement::contiguous}, {"zig_zag", placement::zig_zag}}));
    app.add_option("--wire", o.ring.wire, "what keys and values travel as, float32 unless said")
        ->transform(CLI::CheckedTransformer(std::map<std::string, number>{
            {"float32", number::float32}, {"bfloat16", number::bfloat16}}));
    app.add_flag("--full", full, "every query sees every key");
    app.add_flag("--wait", waits, "wait for the wire before computing, to compare");
    app.add_flag("--train-step", o.trains, "compare a training step of char_lm's model")
        ->excludes("--measure", "--kv-heads", "--wire", "--full");
    app.add_option("--layers", o.layers, "of that model, 2 unless said")
        ->check(CLI::PositiveNumber);
    app.add_option("--seed", o.seed);
    app.add_option("--fail-rank", o.ring.failing_rank, "a rank that fails in the middle");
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        std::ostringstream quiet;
        status = says ? app.exit(error) : app.exit(error, quiet, quiet);
        return std::nullopt;
    }
    if (o.trains) o.ring.model.kv_heads = o.ring.model.heads;
    o.ring.causal = !full;
    o.ring.overlaps = !waits;
    return o;
}

}  // namespace context_parallel
