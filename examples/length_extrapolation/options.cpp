#include "options.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "error.hpp"
#include "training_options.hpp"

namespace length_extrapolation {

namespace {

using char_lm::between;
using char_lm::exit_code;
using char_lm::failure;

/// Everything a single option cannot check of itself.
void check_together(const options& o) {
    if (o.width % o.heads != 0 || (o.width / o.heads) % 2 != 0 || o.width / o.heads < 4)
        throw failure(exit_code::bad_options,
                      "--width / --heads (" + std::to_string(o.width) + " / " +
                          std::to_string(o.heads) +
                          ") must be even and at least 4: rotary positions turn pairs of numbers");
}

}  // namespace

std::optional<options> read_options(int count, char** arguments, int& status) {
    options o;
    CLI::App app{
        "Trains small causal transformers on short windows of text and lets them read far longer\n"
        "ones, with every rotary position encoding that is made for it."};
    app.get_formatter()->column_width(38);
    app.add_option("files", o.files, "Text to learn: files, or folders of them [Eigen's headers]")
        ->type_name("PATH");
    app.option_defaults()->always_capture_default();
    app.add_option("-o,--out", o.out, "Folder for checkpoints, tables and pictures")
        ->type_name("FOLDER");
    app.add_flag("--evaluate", o.evaluate, "Read the checkpoints in the folder: no training");
    app.add_flag("--quick", o.quick, "A minute in all: smaller models, where not given");
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    const auto* windows =
        app.add_option("--windows", o.windows, "Windows of text that a method is measured on")
            ->check(between(1, 1 << 20))
            ->type_name("N");
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(between(0, 1024))
        ->type_name("N");

    const std::string training = "Training, of each model";
    char_lm::add_training_options(app, o.training, training, "Seed of weights and windows");
    const auto* seconds = app.get_option("--seconds");
    app.add_option("--repeating", o.training.repeating,
                   "Share of the windows that repeat a piece of text, so that copying is learned")
        ->check(between(0.0, 1.0))
        ->type_name("X")
        ->group(training);

    const std::string model = "Model";
    const auto* context =
        app.add_option("--context", o.context, "Characters in a window of training")
            ->check(between(8, 1 << 14))
            ->type_name("N")
            ->group(model);
    const auto* layers = app.add_option("--layers", o.layers, "Blocks of attention and MLP")
                             ->check(between(2, 256))
                             ->type_name("N")
                             ->group(model);
    const auto* heads = app.add_option("--heads", o.heads, "Attention heads")
                            ->check(between(1, 256))
                            ->type_name("N")
                            ->group(model);
    const auto* width = app.add_option("--width", o.width, "Numbers that stand for one character")
                            ->check(between(4, 1 << 14))
                            ->type_name("N")
                            ->group(model);
    app.footer(
        "\nEnds with 0 when all went well, 2 for options that do not fit one another or a\n"
        "checkpoint, 3 for a file that is missing or broken, 4 for an empty text, 5 for a text\n"
        "too short, 6 for an output folder that cannot be written to.");

    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    if (o.quick) {
        const auto unless_given = [](const CLI::Option* option, auto& value, auto quick) {
            if (option->count() == 0) value = quick;
        };
        unless_given(seconds, o.training.seconds, 4);
        unless_given(windows, o.windows, 8);
        unless_given(context, o.context, 64);
        unless_given(layers, o.layers, 2);
        unless_given(heads, o.heads, 1);
        unless_given(width, o.width, 32);
    }
    check_together(o);
    if (o.threads == 0)
        o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return o;
}

}  // namespace length_extrapolation
