/// Every normaliser side by side: what each makes of one row of scores, and of the scores of a
/// trained head of attention. `softmax_gallery --help` lists what can be chosen.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "head.hpp"
#include "normalisers.hpp"
#include "pictures.hpp"
#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"

namespace gallery {

namespace {

struct options {
    std::vector<std::string> names;  ///< empty: all
    std::vector<float> scores;       ///< empty: normal ones
    float temperature = 1;
    int steps = 120;
    std::uint64_t seed = 1;
    std::filesystem::path out = "softmax_gallery_output";
};

/// One line of a table: means over the rows of p, row i up to column i if `causal`.
void print_line(const std::string& name, const Eigen::MatrixXf& p, bool causal) {
    double support = 0, entropy = 0, largest = 0, sum = 0;
    for (Eigen::Index i = 0; i < p.rows(); ++i) {
        double row_sum = 0, x_log_x = 0;
        for (Eigen::Index j = 0; j < (causal ? i + 1 : p.cols()); ++j) {
            const auto x = static_cast<double>(p(i, j));
            support += x > 0 ? 1 : 0;
            x_log_x += x > 0 ? x * std::log(x) : 0;
            row_sum += x;
        }
        // Of x/Σx, where weights do not add up to 1.
        if (row_sum > 0) entropy += std::max(0.0, std::log(row_sum) - x_log_x / row_sum);
        sum += row_sum;
        largest += static_cast<double>(p.row(i).maxCoeff());
    }
    const auto rows = static_cast<double>(p.rows());
    std::printf("%-25s%9.1f%15.3f%11.3f%9.3f\n", name.c_str(), support / rows, entropy / rows,
                largest / rows, sum / rows);
}

void print_heading(const char* of) {
    std::printf("\n%s\n\n%-25s%9s%15s%11s%9s\n", of, "", "support", "entropy, nats", "largest",
                "sum");
}

void run(const options& o) {
    std::vector<normaliser> chosen;
    for (const normaliser& each : all_normalisers())
        if (o.names.empty() ||
            std::find(o.names.begin(), o.names.end(), each.name) != o.names.end())
            chosen.push_back(each);
    examples::checked_file(o.out, "row.csv");

    row scores = Eigen::Map<const row>(o.scores.data(), Eigen::Index(o.scores.size()));
    if (o.scores.empty()) {
        std::mt19937_64 engine(o.seed);
        std::normal_distribution<float> normal(0, 1.5F);
        scores = row::NullaryExpr(16, [&] { return normal(engine); });
        std::sort(scores.data(), scores.data() + scores.size(), std::greater<>());
    }
    print_heading("One row of scores");
    std::vector<panel> rows{{"scores", scores}};
    for (const normaliser& each : chosen) {
        rows.push_back({each.name, each.probabilities(scores / o.temperature)});
        print_line(each.name, rows.back().values, false);
    }

    const Eigen::MatrixXf head = train_head(o.steps, o.seed);
    print_heading(
        "A head that has learned to find the earlier token of the same name; means of its rows");
    std::vector<panel> heads;
    for (const normaliser& each : chosen) {
        Eigen::MatrixXf p = Eigen::MatrixXf::Zero(head.rows(), head.cols());
        for (Eigen::Index i = 0; i < head.rows(); ++i)
            p.row(i).head(i + 1) = each.probabilities(head.row(i).head(i + 1) / o.temperature);
        print_line(each.name, p, true);
        heads.push_back({each.name, p});
    }
    const bool drawn = draw_rows(o.out, rows) && draw_heads(o.out, heads);
    std::printf("\nIn %s: %srow.csv, head.csv.\n", o.out.string().c_str(),
                drawn ? "row.png, head.png, " : "");
    if (!drawn) std::printf("%s", examples::no_pictures);
}

}  // namespace

}  // namespace gallery

int main(int count, char** arguments) {
    gallery::options o;
    std::vector<std::string> names;
    for (const auto& each : gallery::all_normalisers()) names.push_back(each.name);
    CLI::App app{"Draws what every normaliser makes of one row of scores, and of a trained head."};
    app.add_option("normalisers", o.names, "Which ones [all]")->check(CLI::IsMember(names));
    app.add_option("--scores", o.scores, "The row's scores [sixteen normal ones]")->type_name("X");
    app.add_option("-t,--temperature", o.temperature, "Scores are divided by it")
        ->check(CLI::Range(1e-3F, 1e3F))
        ->capture_default_str();
    app.add_option("--steps", o.steps, "Training steps of the head")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
    app.add_option("--seed", o.seed, "Seed of scores and head")->capture_default_str();
    app.add_option("-o,--out", o.out, "Folder for pictures and data")->capture_default_str();
    app.footer(
        "\nEnds with 0 when all went well, 1 if the folder cannot be written to or a score\n"
        "is no number; 100 and more for options that cannot be read.");
    CLI11_PARSE(app, count, arguments);
    try {
        gallery::run(o);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "softmax_gallery: %s\n", error.what());
        return 1;
    }
}
