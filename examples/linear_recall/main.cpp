/// What linear attention remembers and what it costs, beside exact attention: one small transformer
/// for each, trained on associative recall and on text. `linear_recall --help` lists what can be
/// chosen; docs/examples/linear_recall.md says what is seen.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "corpus.hpp"
#include "error.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "report.hpp"
#include "support/checked_file.hpp"
#include "support/gnuplot.hpp"
#include "support/progress_bar.hpp"
#include "team.hpp"

namespace linear_recall {

namespace {

using char_lm::exit_code;
using char_lm::failure;

/// Makes the folder and proves that files can be made in it, before minutes of work are lost.
void prepare(const std::filesystem::path& folder) {
    try {
        examples::checked_file(folder, "recall.csv");
    } catch (const std::runtime_error& error) {
        throw failure(exit_code::unwritable_folder, error.what());
    }
}

void run(const options& o) {
    const recall_task& task = o.how.recall;
    const auto files = char_lm::find_files(o.files);
    const char_lm::corpus text(files, task.length, o.how.training.seed);
    prepare(o.out);
    std::printf(
        "Models of %td layers, %td heads and width %td, %td steps of %td windows of %td tokens.\n"
        "Recall: %td keys, %td values; by chance %.1f %% of the answers are right.\n\n",
        o.how.sizes.layers, o.how.sizes.heads, o.how.sizes.width, o.how.training.steps,
        o.how.training.batch, task.length, task.keys, task.values, 100 / double(task.values));
    std::fflush(stdout);

    char_lm::team threads(o.threads);
    std::vector<measurement> all;
    {
        examples::progress_bar bar(o.quiet);
        for (const std::string& attention : o.attentions)
            all.push_back(measure_attention(
                o.how, attention, text, threads, [&](double fraction, const std::string& doing) {
                    bar.show((double(all.size()) + fraction) / double(o.attentions.size()), doing);
                }));
    }
    print_table(all, task);
    std::printf(
        "\nNumbers kept: by all layers of a window of %td tokens, to go on with the next. Exact\n"
        "attention keeps more of a longer one, the others do not.\n",
        task.length);

    const auto recall_csv = o.out / "recall.csv", losses_csv = o.out / "losses.csv";
    write_recall(recall_csv, all, task);
    write_losses(losses_csv, all);
    const bool drawn = draw(o.out / "linear_recall.png", recall_csv, losses_csv, all);
    std::printf("\nIn %s: %srecall.csv, losses.csv.\n", o.out.string().c_str(),
                drawn ? "linear_recall.png, " : "");
    if (!drawn) std::printf("%s", examples::no_pictures);
}

}  // namespace

}  // namespace linear_recall

int main(int count, char** arguments) {
    using char_lm::exit_code;
    try {
        int status = 0;
        const auto options = linear_recall::read_options(count, arguments, status);
        if (!options) return status;
        linear_recall::run(*options);
        return static_cast<int>(exit_code::success);
    } catch (const char_lm::failure& failure) {
        std::fprintf(stderr, "linear_recall: %s\n", failure.what());
        return static_cast<int>(failure.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "linear_recall: %s\n", error.what());
        return static_cast<int>(exit_code::unexpected);
    }
}
