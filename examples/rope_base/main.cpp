/// The least base of rotary positions for a context: a table over dimensions and lengths, as CSV
/// and as curves. `rope_base --help` lists what can be chosen; docs/rope/base_selection.md says
/// what is seen.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include <heed/rope/base_selection.hpp>

#include "curve.hpp"
#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"
#include "support/progress_bar.hpp"

namespace rope_base {

namespace {

using heed::index;

struct options {
    std::vector<index> dims{64, 96, 128, 256};
    std::vector<index> lengths;  ///< empty: powers of two
    int rounds = 5, lasting_rounds = 4;
    int threads = 0;
    bool quiet = false;
    std::filesystem::path out = "rope_base_output";
};

/// Roughly how long a point takes, for the progress bar.
double work(index dim, index length) { return static_cast<double>(dim * (length + 100'000)); }

std::vector<point> search(const options& o) {
    const int threads =
        o.threads > 0 ? o.threads : std::max(1, int(std::thread::hardware_concurrency()));
    std::optional<Eigen::ThreadPool> pool;
    if (threads > 1) pool.emplace(threads - 1);
    const heed::on_pool on{pool ? &*pool : nullptr};

    double all = 0, done = 0;
    for (const index dim : o.dims)
        for (const index length : o.lengths) all += work(dim, length);
    examples::progress_bar bar(o.quiet);
    std::vector<point> points;
    for (const index dim : o.dims) {
        for (const index length : o.lengths) {
            const std::string doing =
                "d = " + std::to_string(dim) + ", length " + std::to_string(length);
            const double now = work(dim, length);
            const auto watch = [&](double from, double to) {
                return [&, from, to](double fraction) {
                    bar.show((done + (from + fraction * (to - from)) * now) / all, doing);
                };
            };
            point p{dim, length, {}, {}};
            p.least = heed::rope::least_base(
                {.dim = dim, .length = length, .rounds = o.rounds, .progress = watch(0, 0.2)}, on);
            p.lasting = heed::rope::least_lasting_base({.dim = dim,
                                                        .length = length,
                                                        .rounds = o.lasting_rounds,
                                                        .progress = watch(0.2, 1)},
                                                       on);
            points.push_back(p);
            done += now;
        }
    }
    return points;
}

void run(const options& o) {
    const auto csv = examples::checked_file(o.out, "base.csv");
    const std::vector<point> points = search(o);
    write_csv(csv, points);

    std::printf("%6s%10s%14s%12s%14s%12s%12s\n", "d", "length", "least", "step", "lasting", "step",
                "limit");
    for (const point& p : points)
        std::printf("%6td%10td%14.5g%12.2g%14.5g%12.2g%12.4g\n", p.dim, p.length, p.least.base,
                    p.least.resolution, p.lasting.base, p.lasting.resolution,
                    heed::rope::limit_base(p.length));

    const bool drawn = draw_curves(o.out / "base.png", csv, o.dims);
    std::printf("\nIn %s: %sbase.csv.\n", o.out.string().c_str(), drawn ? "base.png, " : "");
    if (!drawn) std::printf("%s", examples::no_pictures);
}

}  // namespace

}  // namespace rope_base

int main(int count, char** arguments) {
    rope_base::options o;
    CLI::App app{
        "Finds the least base of rotary positions with which no sum of cosines is negative at a\n"
        "distance below the length, and the least base from which on that holds for all tried."};
    app.add_option("--dim", o.dims, "Rotated dimensions d")
        ->check(CLI::Range(2, 1 << 16))
        ->type_name("D")
        ->capture_default_str();
    app.add_option("--length", o.lengths, "Lengths [1024, 2048, ... 1048576]")
        ->check(CLI::Range(1, 2147483647))
        ->type_name("L");
    app.add_option("--rounds", o.rounds, "How often the grid becomes ten times finer")
        ->check(CLI::Range(1, 7))
        ->capture_default_str();
    app.add_option("--lasting-rounds", o.lasting_rounds,
                   "The same for the base from which on all suffice, which takes far longer")
        ->check(CLI::Range(1, 7))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    app.add_option("-o,--out", o.out, "Folder for picture and data")->capture_default_str();
    app.footer(
        "\nEnds with 0 when all went well, 1 if the folder cannot be written to or no base is\n"
        "large enough (d = 2) or d is odd; 100 and more for options that cannot be read.");
    CLI11_PARSE(app, count, arguments);
    if (o.lengths.empty())
        for (heed::index length = 1 << 10; length <= 1 << 20; length *= 2)
            o.lengths.push_back(length);
    try {
        rope_base::run(o);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "rope_base: %s\n", error.what());
        return 1;
    }
}
