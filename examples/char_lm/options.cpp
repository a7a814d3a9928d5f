#include "options.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "attentions.hpp"
#include "error.hpp"
#include "normalisers.hpp"
#include "training_options.hpp"

namespace char_lm {

namespace {

/// Everything a single option cannot check of itself.
void check_together(const options& o) {
    if (o.width % o.heads != 0)
        throw failure(exit_code::bad_options, "--width (" + std::to_string(o.width) +
                                                  ") must be a multiple of --heads (" +
                                                  std::to_string(o.heads) + ")");
    if ((o.width / o.heads) % 2 != 0)
        throw failure(exit_code::bad_options,
                      "--width / --heads (" + std::to_string(o.width / o.heads) +
                          ") must be even: rotary positions turn pairs of numbers");
    const bool has_scores = o.attention == "softmax";
    if (!has_scores && o.normaliser != "softmax")
        throw failure(exit_code::bad_options,
                      "--attention " + o.attention + " forms no scores: it takes no --normaliser");
    if (!has_scores && o.log_n)
        throw failure(exit_code::bad_options,
                      "--attention " + o.attention + " forms no scores: it takes no --log-n");
}

}  // namespace

std::optional<options> read_options(int count, char** arguments, int& status) {
    options o;
    CLI::App app{
        "Trains a small causal transformer on text, a character at a time, with heed's attention;\n"
        "then writes a sample, measures it far beyond the length it was trained on, and draws two\n"
        "pictures."};
    app.get_formatter()->column_width(38);
    app.add_option("files", o.files, "Text to learn: files, or folders of them [Eigen's headers]")
        ->type_name("PATH");
    app.option_defaults()->always_capture_default();

    app.add_option("-o,--out", o.out, "Folder for pictures, data and the sample")
        ->type_name("FOLDER");
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");

    const std::string training = "Training";
    add_training_options(app, o.training, training, "Seed of weights, windows and sample");
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(between(0, 1024))
        ->type_name("N")
        ->group(training);

    const std::string model = "Model";
    app.add_option("--context", o.context, "Characters in a window")
        ->check(between(2, 1 << 16))
        ->type_name("N")
        ->group(model);
    app.add_option("--layers", o.layers, "Blocks of attention and MLP")
        ->check(between(1, 256))
        ->type_name("N")
        ->group(model);
    app.add_option("--heads", o.heads, "Attention heads")
        ->check(between(1, 256))
        ->type_name("N")
        ->group(model);
    app.add_option("--width", o.width, "Numbers that stand for one character")
        ->check(between(2, 1 << 14))
        ->type_name("N")
        ->group(model);

    app.add_option("--attention", o.attention,
                   "Exact attention, or one whose cost is linear, which is compared with it")
        ->check(CLI::IsMember(attention_names()))
        ->type_name("NAME")
        ->group(model);
    app.add_option("--normaliser", o.normaliser,
                   "What turns scores into weights; other than softmax it is compared with it")
        ->check(CLI::IsMember(normaliser_names()))
        ->type_name("NAME")
        ->group(model);
    app.add_flag("--log-n", o.log_n, "Scale attention scores by the logarithm of what is seen")
        ->group(model);

    const std::string sample = "Sample";
    app.add_option("--characters", o.characters, "Characters to write")
        ->check(between(0, 1 << 20))
        ->type_name("N")
        ->group(sample);
    app.add_option("--temperature", o.temperature, "Lower is more careful, higher more daring")
        ->check(between(0.01, 100.0))
        ->type_name("X")
        ->group(sample);

    app.footer(
        "\nEnds with 0 when all went well, 2 for options that do not fit one another, 3 for a\n"
        "file that is missing, 4 for an empty text, 5 for a text too short, 6 for an output\n"
        "folder that cannot be written to.");

    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    check_together(o);
    if (o.threads == 0)
        o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return o;
}

}  // namespace char_lm
