#include "options.hpp"

#include <algorithm>
#include <thread>

#include <CLI/CLI.hpp>

#include "attentions.hpp"
#include "error.hpp"
#include "training_options.hpp"

namespace linear_recall {

namespace {

using char_lm::between;
using char_lm::exit_code;
using char_lm::failure;

/// Everything a single option cannot check of itself.
void check_together(const options& o) {
    const auto& sizes = o.how.sizes;
    if (sizes.width % sizes.heads != 0 || (sizes.width / sizes.heads) % 2 != 0)
        throw failure(exit_code::bad_options,
                      "--width / --heads (" + std::to_string(sizes.width) + " / " +
                          std::to_string(sizes.heads) +
                          ") must be even: rotary positions turn pairs of numbers");
    const recall_task& task = o.how.recall;
    for (const index pairs : task.pairs) {
        if (2 * pairs >= task.length)
            throw failure(exit_code::bad_options,
                          "--pairs " + std::to_string(pairs) + " fill a window of " +
                              std::to_string(task.length) + ": it must hold a query too");
        if (pairs > task.keys)
            throw failure(exit_code::bad_options, "--pairs " + std::to_string(pairs) +
                                                      ", but there are " +
                                                      std::to_string(task.keys) + " keys");
    }
}

}  // namespace

std::optional<options> read_options(int count, char** arguments, int& status) {
    options o;
    CLI::App app{
        "Trains small causal transformers that differ in their attention alone, exact or of\n"
        "linear cost, on associative recall and on text: what they learn, and what they cost."};
    app.get_formatter()->column_width(38);
    app.add_option("files", o.files, "Text to learn: files, or folders of them [Eigen's headers]")
        ->type_name("PATH");
    app.add_option("--attention", o.attentions, "Only these, several times or after commas [all]")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::IsMember(char_lm::attention_names()))
        ->type_name("NAME");
    app.option_defaults()->always_capture_default();
    app.add_option("-o,--out", o.out, "Folder for tables and the picture")->type_name("FOLDER");
    app.add_flag("--quick", o.quick, "A minute in all: fewer steps, if not given");
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(between(0, 1024))
        ->type_name("N");

    const std::string recall = "Recall";
    app.add_option("--pairs", o.how.recall.pairs, "Pairs of a window, one of these at random")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(between(1, 1 << 14))
        ->type_name("N")
        ->group(recall);
    app.add_option("--length", o.how.recall.length, "Tokens of a window, of text too")
        ->check(between(4, 1 << 14))
        ->type_name("N")
        ->group(recall);

    const std::string training = "Training, of each model";
    const auto* steps = app.add_option("--steps", o.how.training.steps, "Steps of each training")
                            ->check(between(std::ptrdiff_t{1}, std::ptrdiff_t{100'000'000}))
                            ->type_name("N")
                            ->group(training);
    app.add_option("--batch", o.how.training.batch, "Windows in a step")
        ->check(between(1, 4096))
        ->type_name("N")
        ->group(training);
    app.add_option("--learning-rate", o.how.training.learning_rate, "Highest step size of AdamW")
        ->check(between(1e-8, 1.0))
        ->type_name("X")
        ->group(training);
    app.add_option("--seed", o.how.training.seed, "Seed of weights and windows")
        ->type_name("N")
        ->group(training);
    app.add_option("--windows", o.how.windows, "Windows that a model is measured on")
        ->check(between(1, 1 << 20))
        ->type_name("N")
        ->group(training);

    const std::string model = "Model";
    app.add_option("--layers", o.how.sizes.layers, "Blocks of attention and MLP")
        ->check(between(1, 256))
        ->type_name("N")
        ->group(model);
    app.add_option("--heads", o.how.sizes.heads, "Attention heads")
        ->check(between(1, 256))
        ->type_name("N")
        ->group(model);
    app.add_option("--width", o.how.sizes.width, "Numbers that stand for one token")
        ->check(between(2, 1 << 14))
        ->type_name("N")
        ->group(model);
    app.footer(
        "\nEnds with 0 when all went well, 2 for options that do not fit one another, 3 for a "
        "file\n"
        "that is missing, 4 for an empty text, 5 for a text too short, 6 for an output folder "
        "that\n"
        "cannot be written to.");

    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    if (o.quick && steps->count() == 0) o.how.training.steps = 600;
    if (o.attentions.empty()) o.attentions = char_lm::attention_names();
    check_together(o);
    if (o.threads == 0)
        o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return o;
}

}  // namespace linear_recall
