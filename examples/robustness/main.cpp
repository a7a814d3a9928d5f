/// How robust attention is, on random queries and keys: to noise on its scores, to its length, and
/// to the scale of its scores. `robustness --help` lists what can be chosen; docs/robustness.md
/// says what is seen.

#include <cstdio>
#include <exception>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "measurements.hpp"
#include "pictures.hpp"
#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"
#include "table.hpp"

namespace robustness {

namespace {

void run(const settings& chosen, const std::filesystem::path& out) {
    examples::checked_file(out, "noise.csv");
    const measurements measured(chosen);
    std::printf(
        "Noise on the scores: relative change of the output, by the mean of the values\n\n");
    const table noise = measured.noise();
    print(noise);
    std::printf(
        "\nMean entropy of a row, nats: normal scores, then cosines, by what they are scaled "
        "with\n\n");
    const table entropy = measured.entropy();
    print(entropy);
    std::printf("\nThe scale α* at which softmax's gradient is largest, and a fit of it\n\n");
    const table scale = measured.scale();
    print(scale);
    std::printf(
        "\nThe size of that gradient, normal scores: expected, mean and median of the rows\n\n");
    const table size = measured.size();
    print(size);
    // Each of them, whether gnuplot can draw or not: they write the CSV too.
    const int drawn = draw_noise(out, noise) + draw_entropy(out, entropy) + draw_scale(out, scale) +
                      draw_size(out, size);
    std::printf("\nIn %s: %snoise.csv, entropy.csv, scale.csv, size.csv.\n", out.string().c_str(),
                drawn == 4 ? "noise.png, entropy.png, scale.png, size.png, " : "");
    if (drawn < 4) std::printf("%s", examples::no_pictures);
}

}  // namespace

}  // namespace robustness

int main(int count, char** arguments) {
    robustness::settings chosen;
    std::filesystem::path out = "robustness_output";
    CLI::App app{"Measures how robust attention is to noise, length and scale."};
    app.add_option("--longest", chosen.longest, "Keys of the longest attention")
        ->check(CLI::Range(64, 1 << 20))
        ->capture_default_str();
    app.add_option("--queries", chosen.queries, "Queries, whose mean is taken")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    app.add_option("--dim", chosen.dim, "Dimension d of queries and keys")
        ->check(CLI::Range(2, 1024))
        ->capture_default_str();
    app.add_option("--seed", chosen.seed, "Seed of everything random")->capture_default_str();
    app.add_option("-o,--out", out, "Folder for pictures and data")->capture_default_str();
    app.footer(
        "\nEnds with 0 when all went well, 1 if the folder cannot be written to;\n"
        "100 and more for options that cannot be read.");
    CLI11_PARSE(app, count, arguments);
    try {
        robustness::run(chosen, out);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "robustness: %s\n", error.what());
        return 1;
    }
}
